// Reads the host's apt sources, in both of their forms (sources.list(5)), and turns those of a
// distribution into the sources of another suite of it. Pure: files come in as text.

import { GantryError } from "../../base/index.ts";

export interface AptSource {
  uris: string[];
  suites: string[];
  components: string[];
  /** Path of a keyring, or the key itself. */
  signedBy?: string;
}
export interface Distribution {
  id: "debian" | "ubuntu";
  keyring: string;
  keyringPackage: string;
  components: string[];
  /** Words in a mirror's path by which a source is known to be of this distribution. */
  marks: RegExp;
  /** Suites beside the main one, by what follows its name. */
  pockets: string[];
}

export const DISTRIBUTIONS: Record<string, Distribution> = {
  debian: {
    id: "debian",
    keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
    keyringPackage: "debian-archive-keyring",
    components: ["main"],
    marks: /\/debian(-security)?\/?$|\/debian(-security)?\//,
    pockets: ["", "-updates", "-security"],
  },
  ubuntu: {
    id: "ubuntu",
    keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyringPackage: "ubuntu-keyring",
    components: ["main", "universe"],
    marks: /\/ubuntu(-ports)?\/?$|\/ubuntu(-ports)?\//,
    pockets: ["", "-updates", "-security"],
  },
};
/** Suites that have no updates or security of their own. */
const ROLLING = new Set(["sid", "unstable", "experimental"]);

/** The sources of one file; `name` says which form it has. */
export function parseAptSources(name: string, text: string): AptSource[] {
  return name.endsWith(".sources") ? parseStanzas(text) : parseLines(text);
}

function parseStanzas(text: string): AptSource[] {
  return text.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (line.startsWith("#")) continue;
      const [, key, value = ""] = /^([A-Za-z-]+):[ \t]*(.*)$/.exec(line) ?? [];
      if (key) fields.set((last = key.toLowerCase()), value);
      else if (/^[ \t]/.test(line)) fields.set(last, `${fields.get(last) ?? ""}\n${line}`);
    }
    const words = (key: string) => (fields.get(key) ?? "").split(/\s+/).filter(Boolean);
    if (!words("types").includes("deb") || /^no$/i.test(fields.get("enabled") ?? "")) return [];
    const signedBy = fields.get("signed-by")?.trim();
    const source = {
      uris: words("uris"),
      suites: words("suites"),
      components: words("components"),
    };
    return [{ ...source, ...(signedBy && { signedBy }) }];
  });
}

function parseLines(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)/.exec(line);
    if (!found) return [];
    const [, options = "", uri = "", suite = "", components = ""] = found;
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1];
    return [
      {
        uris: [uri],
        suites: [suite],
        components: components.split(/\s+/).filter(Boolean),
        ...(signedBy && { signedBy }),
      },
    ];
  });
}

/** What the new root fetches from: the host's sources with their suite replaced, or `mirror`. */
export function sourcesFor(
  distribution: Distribution,
  suite: string,
  host: readonly AptSource[],
  { mirror }: { mirror?: string } = {},
): AptSource[] {
  const { keyring, components } = distribution;
  if (mirror) return [{ uris: [mirror], suites: [suite], components, signedBy: keyring }];
  const found = host.flatMap((source) => {
    const uris = source.uris.filter((uri) => distribution.marks.test(`${uri}/`));
    const suites = suitesFor(distribution, suite, source.suites);
    const known = source.components.filter((component) => components.includes(component));
    if (uris.length === 0 || suites.length === 0 || known.length === 0) return [];
    return [{ uris, suites, components: known, signedBy: source.signedBy ?? keyring }];
  });
  if (found.some(({ suites }) => suites.includes(suite))) return found;
  throw new GantryError(
    "not-found",
    `apt on this host has no source of ${distribution.id}: say --mirror URL`,
  );
}

/** bookworm-updates → <suite>-updates; backports and the like stay out. */
function suitesFor(
  { pockets }: Distribution,
  suite: string,
  hostSuites: readonly string[],
): string[] {
  const wanted = hostSuites.flatMap((name) => {
    const [, pocket = ""] = /^[a-z]+((?:-|\/).*)?$/.exec(name) ?? [undefined, "?"];
    if (pocket === "" || (pockets.includes(pocket) && !ROLLING.has(suite))) {
      return [`${suite}${pocket}`];
    }
    return [];
  });
  return [...new Set(wanted)];
}

/** As a .sources file. */
export function formatAptSources(sources: readonly AptSource[]): string {
  const stanzas = sources.map(({ uris, suites, components, signedBy }) =>
    [
      "Types: deb",
      `URIs: ${uris.join(" ")}`,
      `Suites: ${suites.join(" ")}`,
      `Components: ${components.join(" ")}`,
      ...(signedBy ? [`Signed-By: ${signedBy}`] : []),
    ].join("\n"),
  );
  return `${stanzas.join("\n\n")}\n`;
}

/** Without user names, passwords or files of the host: what may go into an image. */
export function publicSources(
  { keyring }: Distribution,
  sources: readonly AptSource[],
): AptSource[] {
  return sources.flatMap((source) => {
    const uris = source.uris
      .filter((uri) => /^https?:/.test(uri))
      .map((uri) => {
        const url = new URL(uri);
        url.username = "";
        url.password = "";
        return url.href;
      });
    return uris.length > 0 ? [{ ...source, uris, signedBy: keyring }] : [];
  });
}
