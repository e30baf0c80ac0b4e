// ~/.docker/config.json: what the client side keeps there. Unknown keys stay as they are when the
// file is written again. An unreadable or malformed file is a warning, not an end.

import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, messageOf, writeFileAtomic } from "../../base/index.ts";
import { jsonComplaint } from "./json-complaint.ts";

export interface ProxyConfig {
  httpProxy?: string;
  httpsProxy?: string;
  noProxy?: string;
  ftpProxy?: string;
  allProxy?: string;
}
export interface ConfigFile {
  HttpHeaders?: Record<string, string>;
  auths?: Record<
    string,
    {
      auth?: string;
      username?: string;
      password?: string;
      identitytoken?: string;
      registrytoken?: string;
    }
  >;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  currentContext?: string;
  detachKeys?: string;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  pluginsFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  proxies?: Record<string, ProxyConfig>;
  [key: string]: unknown;
}

const STRINGS = ["currentContext", "detachKeys", "psFormat", "imagesFormat", "credsStore"] as const;

/** And what Go calls them. */
const MAPS = {
  auths: "map[string]types.AuthConfig",
  credHelpers: "map[string]string",
  HttpHeaders: "map[string]string",
  proxies: "map[string]configfile.ProxyConfig",
};

/** Returns the file's content and, when it could not be used, the warning to print. */
export function loadConfigFile(path: string): { config: ConfigFile; warning?: string } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return { config: {} };
    if (errno === "EISDIR") return unusable(path, `read ${path}: is a directory`);
    const why = errno === "EACCES" ? "permission denied" : messageOf(error);
    return { config: {}, warning: `WARNING: Error loading config file: open ${path}: ${why}` };
  }
  if (text.trim() === "") return { config: {} };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return unusable(path, jsonComplaint(text) ?? messageOf(error));
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    const kind = `json: cannot unmarshal ${jsonKind(parsed)}`;
    return unusable(path, `${kind} into Go value of type configfile.ConfigFile`);
  }
  const config = parsed as ConfigFile;
  for (const name of Object.keys(MAPS) as (keyof typeof MAPS)[]) {
    const value: unknown = config[name];
    if (value === undefined || value === null) continue;
    if (typeof value === "object" && !Array.isArray(value)) continue;
    const kind = `json: cannot unmarshal ${jsonKind(value)}`;
    return unusable(path, `${kind} into Go struct field ConfigFile.${name} of type ${MAPS[name]}`);
  }
  for (const name of STRINGS) {
    const value: unknown = config[name];
    if (value === undefined || value === null || typeof value === "string") continue;
    const kind = `json: cannot unmarshal ${jsonKind(value)}`;
    return unusable(path, `${kind} into Go struct field ConfigFile.${name} of type string`);
  }
  for (const name of ["credHelpers", "HttpHeaders"] as const) {
    const values = Object.entries(config[name] ?? {}).filter(([, value]) => value !== null);
    const bad = values.find(([, value]) => typeof value !== "string");
    if (bad !== undefined) {
      const kind = `json: cannot unmarshal ${jsonKind(bad[1])}`;
      const where = `ConfigFile.${name}.${bad[0]} of type string`;
      return unusable(path, `${kind} into Go struct field ${where}`);
    }
    if (config[name]) config[name] = Object.fromEntries(values);
  }
  return withoutBadLogins(path, config);
}

/** The other logins stay of use. */
function withoutBadLogins(path: string, config: ConfigFile): ReturnType<typeof loadConfigFile> {
  const logins = Object.entries(config.auths ?? {});
  const complaints = logins.map(([host, entry]) => entryComplaint(host, entry));
  const why = complaints.find((complaint) => complaint !== undefined);
  if (why === undefined) return { config };
  const auths = Object.fromEntries(logins.filter((_, at) => complaints[at] === undefined));
  return { ...unusable(path, why), config: { ...config, auths } };
}

/** Docker's words for a login that cannot be read; else one sees only that registries refuse. */
function entryComplaint(host: string, entry: unknown): string | undefined {
  if (entry === null) return undefined;
  if (typeof entry !== "object" || Array.isArray(entry)) {
    const kind = `json: cannot unmarshal ${jsonKind(entry)}`;
    return `${kind} into Go struct field ConfigFile.auths.${host} of type types.AuthConfig`;
  }
  const { auth } = entry as { auth?: unknown };
  if (auth === undefined || auth === null || auth === "") return undefined;
  if (typeof auth !== "string") {
    const kind = `json: cannot unmarshal ${jsonKind(auth)}`;
    return `${kind} into Go struct field ConfigFile.auths.${host}.auth of type string`;
  }
  const text = auth.replace(/[\r\n]/g, "");
  const isPadded = /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0;
  if (!isPadded) {
    const at = text.search(/[^A-Za-z0-9+/]/);
    return `illegal base64 data at input byte ${at < 0 ? text.length - (text.length % 4) : at}`;
  }
  const pair = Buffer.from(text, "base64").toString("utf8");
  return pair.indexOf(":") > 0 ? undefined : "Invalid auth configuration file";
}

function unusable(path: string, why: string): { config: ConfigFile; warning: string } {
  return { config: {}, warning: `WARNING: Error parsing config file (${path}): ${why}` };
}

function jsonKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** Writes the file back, through a symlink if there is one; only its owner may read it. */
export async function saveConfigFile(path: string, config: ConfigFile): Promise<void> {
  let target = path;
  try {
    target = realpathSync(path);
  } catch {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  }
  // As docker writes it: the logins first, even where there are none, and no line end.
  const { auths = {}, ...rest } = config;
  await writeFileAtomic(target, JSON.stringify({ auths, ...rest }, undefined, "\t"));
}
