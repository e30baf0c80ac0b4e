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

const OBJECTS = ["auths", "credHelpers", "HttpHeaders", "proxies"] as const;

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
  for (const name of OBJECTS) {
    const value: unknown = config[name];
    if (value === undefined || value === null) continue;
    if (typeof value === "object" && !Array.isArray(value)) continue;
    const kind = `json: cannot unmarshal ${jsonKind(value)}`;
    return unusable(path, `${kind} into Go struct field ConfigFile.${name} of type map`);
  }
  for (const name of STRINGS) {
    const value: unknown = config[name];
    if (value === undefined || value === null || typeof value === "string") continue;
    const kind = `json: cannot unmarshal ${jsonKind(value)}`;
    return unusable(path, `${kind} into Go struct field ConfigFile.${name} of type string`);
  }
  return { config };
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
