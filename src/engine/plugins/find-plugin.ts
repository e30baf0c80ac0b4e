// Where a plugin of docker's v1 protocol is: a socket in the folder of sockets, or a description in
// one of the others: NAME.spec holds an address, NAME.json an address and TLS files. Each may lie
// in a folder of the plugin's name. Looked up each time: plugins come and go while the daemon runs.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";

export interface PluginFolders {
  sockets: string;
  specs: readonly string[];
}
export const PLUGIN_FOLDERS: PluginFolders = {
  sockets: "/run/docker/plugins",
  specs: ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
};

export type PluginAddress =
  | { kind: "unix"; path: string }
  | { kind: "tcp"; host: string; port: number; tls?: PluginTls };
export interface PluginTls {
  verify: boolean;
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

const NAME = /^[\w][\w.-]*$/;
/** A description is a line or a small document. */
const specBytesMax = 64 * 1024;

/** The address of a plugin; undefined when there is none of that name. Throws invalid when its
 * description cannot be read. */
export async function findPlugin(
  name: string,
  folders: PluginFolders,
): Promise<PluginAddress | undefined> {
  // A name is no path: nothing outside the folders is ever looked at.
  if (!NAME.test(name)) return undefined;
  for (const path of placesOf(folders.sockets, name, ".sock")) {
    if ((await kindOf(path)) === "socket") return { kind: "unix", path };
  }
  for (const folder of folders.specs) {
    for (const path of placesOf(folder, name, ".spec")) {
      const text = await readSpec(path);
      if (text !== undefined) return parseAddress(text.trim(), path);
    }
    for (const path of placesOf(folder, name, ".json")) {
      const text = await readSpec(path);
      if (text !== undefined) return await parseDocument(text, path);
    }
  }
  return undefined;
}

/** The names of all plugins that have a socket or a description. */
export async function pluginNames(folders: PluginFolders): Promise<string[]> {
  const found = new Set<string>();
  for (const [folder, suffixes] of [
    [folders.sockets, [".sock"]] as const,
    ...folders.specs.map((one) => [one, [".spec", ".json"]] as const),
  ]) {
    for (const entry of await readdir(folder).catch(() => [])) {
      const suffix = suffixes.find((one) => entry.endsWith(one));
      const name = suffix === undefined ? entry : entry.slice(0, -suffix.length);
      if (!NAME.test(name) || found.has(name)) continue;
      const places = suffixes.flatMap((one) => placesOf(folder, name, one));
      const kinds = await Promise.all(places.map(kindOf));
      if (kinds.some((kind) => kind === (folder === folders.sockets ? "socket" : "file"))) {
        found.add(name);
      }
    }
  }
  return [...found].sort();
}

const placesOf = (folder: string, name: string, suffix: string): string[] => [
  join(folder, `${name}${suffix}`),
  join(folder, name, `${name}${suffix}`),
];

async function kindOf(path: string): Promise<"socket" | "file" | "other" | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  return found.isSocket() ? "socket" : found.isFile() ? "file" : "other";
}

async function readSpec(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isFile()) return undefined;
  if (found.size > specBytesMax) {
    throw new GantryError("invalid", `${path} is larger than ${specBytesMax} bytes`);
  }
  return await readFile(path, "utf8");
}

/** "unix:///run/x.sock" or "tcp://localhost:8080". */
export function parseAddress(text: string, from: string): PluginAddress {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (path.startsWith("/")) return { kind: "unix", path };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "tcp:" && url.hostname !== "" && url.port !== "") {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    return { kind: "tcp", host, port: Number(url.port) };
  }
  throw new GantryError("invalid", `${from}: unknown protocol: ${JSON.stringify(text)}`);
}

async function parseDocument(text: string, path: string): Promise<PluginAddress> {
  let document: { Addr?: unknown; TLSConfig?: Record<string, unknown> | null };
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new GantryError("invalid", `${path} is no JSON`, { cause });
  }
  const address = parseAddress(String(document?.Addr ?? ""), path);
  const config = document.TLSConfig;
  if (!config || address.kind === "unix") return address;
  const read = async (key: string): Promise<Buffer | undefined> => {
    const file = config[key];
    if (typeof file !== "string" || file === "") return undefined;
    return await readFile(file).catch((cause: unknown) => {
      const why = errnoOf(cause) ?? "unreadable";
      throw new GantryError("invalid", `${path}: ${key} ${file}: ${why}`, { cause });
    });
  };
  const [ca, cert, key] = await Promise.all([read("CAFile"), read("CertFile"), read("KeyFile")]);
  const tls: PluginTls = {
    // As dockerd: without an authority there is nothing to verify with.
    verify: config["InsecureSkipVerify"] !== true && ca !== undefined,
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  };
  return { ...address, tls };
}
