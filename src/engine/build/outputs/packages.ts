// Which packages a file system has: the records of distributions (dpkg, apk, rpm) and what language
// ecosystems leave beside their files (npm, Python, Go's build information in executables). Parsing
// is pure and trusts nothing: what it does not understand it leaves out.

/** A package as a record names it. */
export interface Package {
  name: string;
  version: string;
  /** Package URL: "pkg:deb/debian/bash@5.2?arch=amd64". */
  purl: string;
  license?: string;
  /** The file that says so. */
  foundIn: string;
}
/** Of /etc/os-release. */
export interface Distribution {
  id: string;
  version: string;
}

/** "bash@5.2" with what URLs cannot have escaped. */
export function packageUrl(
  type: string,
  path: readonly string[],
  version: string,
  qualifiers: Readonly<Record<string, string | undefined>> = {},
): string {
  const query = Object.entries(qualifiers)
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${escapePart(value!)}`)
    .join("&");
  const names = path.filter((part) => part !== "").map(escapePart);
  return `pkg:${type}/${names.join("/")}@${escapePart(version)}${query && `?${query}`}`;
}
const escapePart = (text: string): string =>
  encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%3A", ":")
    .replaceAll("%2B", "+");

const KEY_CHARS_MAX = 100;

/** "Key: value" paragraphs; lines that begin with a blank go on. */
function paragraphs(text: string): Map<string, string>[] {
  const found: Map<string, string>[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const line of block.split("\n")) {
      // Not one expression for the whole line: it would take the square of a hostile one's length.
      const colon = line.indexOf(":");
      const key = colon < 0 || colon > KEY_CHARS_MAX ? "" : line.slice(0, colon);
      if (!/^[A-Za-z][A-Za-z0-9-]*$/.test(key) || fields.has(key)) continue;
      fields.set(key, line.slice(colon + 1).trim());
    }
    if (fields.size > 0) found.push(fields);
  }
  return found;
}

export function osRelease(text: string): Distribution {
  const value = (key: string): string =>
    new RegExp(`^${key}=["']?([^"'\\n]*)`, "m").exec(text)?.[1]?.trim() ?? "";
  return { id: value("ID") || "linux", version: value("VERSION_ID") };
}

const distroOf = ({ id, version }: Distribution): string => (version ? `${id}-${version}` : id);

/** /var/lib/dpkg/status, and the files of status.d. */
export function dpkgPackages(text: string, at: string, distribution: Distribution): Package[] {
  return paragraphs(text).flatMap((fields): Package[] => {
    const name = fields.get("Package");
    const version = fields.get("Version");
    const status = fields.get("Status");
    if (!name || !version || (status && !/\binstalled$/.test(status))) return [];
    const arch = fields.get("Architecture");
    const distro = distroOf(distribution);
    const purl = packageUrl("deb", [distribution.id, name], version, { arch, distro });
    return [{ name, version, purl, foundIn: at }];
  });
}

/** /lib/apk/db/installed: a letter, a colon, a value. */
export function apkPackages(text: string, at: string, distribution: Distribution): Package[] {
  return text.split(/\n\n+/).flatMap((block): Package[] => {
    const value = (key: string) => new RegExp(`^${key}:(.*)$`, "m").exec(block)?.[1]?.trim();
    const name = value("P");
    const version = value("V");
    if (!name || !version) return [];
    const license = value("L");
    const distro = distroOf(distribution);
    const purl = packageUrl("apk", [distribution.id, name], version, { arch: value("A"), distro });
    return [{ name, version, purl, ...(license && { license }), foundIn: at }];
  });
}

/** package.json of an installed package. */
export function npmPackage(text: string, at: string): Package[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  const { name, version, license } = (parsed ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || typeof version !== "string" || !name || !version) return [];
  const said = typeof license === "string" ? { license } : {};
  return [
    { name, version, purl: packageUrl("npm", name.split("/"), version), ...said, foundIn: at },
  ];
}

/** METADATA or PKG-INFO of a Python distribution. */
export function pythonPackage(text: string, at: string): Package[] {
  const [fields] = paragraphs(text);
  const name = fields?.get("Name");
  const version = fields?.get("Version");
  if (!name || !version) return [];
  const license = fields?.get("License-Expression") ?? fields?.get("License");
  const said = license && license !== "UNKNOWN" ? { license } : {};
  const purl = packageUrl("pypi", [name.toLowerCase().replaceAll("_", "-")], version);
  return [{ name, version, purl, ...said, foundIn: at }];
}

/** The module list that Go writes into executables (`go version -m`). */
export function goPackages(modules: string, at: string): Package[] {
  const found: Package[] = [];
  for (const line of modules.split("\n")) {
    const [kind, path, version = ""] = line.split("\t");
    if (kind !== "mod" && kind !== "dep" && kind !== "=>") continue;
    if (!path) continue;
    if (kind === "=>") found.pop(); // the module before it is replaced
    const known = version || "(devel)";
    const purl = packageUrl("golang", path.split("/"), known);
    found.push({ name: path, version: known, purl, foundIn: at });
  }
  return found;
}

const RPM_TAGS = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  license: 1014,
  arch: 1022,
};
const RPM_WANTED: ReadonlySet<number> = new Set(Object.values(RPM_TAGS));
const RPM_ENTRIES_MAX = 65_536;
const RPM_STRINGS = [6, 8, 9];
const RPM_INT32 = 4;

/** A header of rpm's database: counts, an index of tags, and their data. */
export function rpmPackage(header: Uint8Array, at: string, distribution: Distribution): Package[] {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (header.length < 8) return [];
  const count = view.getUint32(0);
  const start = 8 + count * 16;
  if (count > RPM_ENTRIES_MAX || start > header.length) return [];
  const values = new Map<number, string | number>();
  for (let index = 0; index < count; index++) {
    const entry = 8 + index * 16;
    const tag = view.getUint32(entry);
    // Each once: any number of entries may point to the same long text.
    if (!RPM_WANTED.has(tag) || values.has(tag)) continue;
    const type = view.getUint32(entry + 4);
    const from = start + view.getUint32(entry + 8);
    if (from >= header.length) continue;
    if (RPM_STRINGS.includes(type)) {
      const end = header.indexOf(0, from);
      const text = Buffer.from(header.subarray(from, end < 0 ? undefined : end)).toString();
      values.set(tag, text);
    } else if (type === RPM_INT32 && from + 4 <= header.length) {
      values.set(tag, view.getUint32(from));
    }
  }
  const text = (tag: number): string => String(values.get(tag) ?? "");
  const name = text(RPM_TAGS.name);
  if (name === "" || text(RPM_TAGS.version) === "" || name === "gpg-pubkey") return [];
  const version = [text(RPM_TAGS.version), text(RPM_TAGS.release)].filter(Boolean).join("-");
  const license = text(RPM_TAGS.license);
  const qualifiers = {
    arch: text(RPM_TAGS.arch),
    epoch: text(RPM_TAGS.epoch),
    distro: distroOf(distribution),
  };
  const purl = packageUrl("rpm", [distribution.id, name], version, qualifiers);
  return [{ name, version, purl, ...(license && { license }), foundIn: at }];
}
