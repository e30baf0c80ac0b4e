// ~/.docker/config.json: what the client side keeps there. Unknown keys stay as they are when the
// file is written again. An unreadable or malformed file is a warning, not an end.

import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, GantryError, messageOf, writeFileAtomic } from "../../base/index.ts";

export interface ProxyConfig {
  httpProxy?: string;
  httpsProxy?: string;
  noProxy?: string;
  ftpProxy?: string;
  allProxy?: string;
}
export interface ConfigFile {
  HttpHeaders?: Record<string, string>;
  auths?: Record<string, { auth?: string; identitytoken?: string; registrytoken?: string }>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  currentContext?: string;
  detachKeys?: string;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  proxies?: Record<string, ProxyConfig>;
  [key: string]: unknown;
}

/** Returns the file's content and, when it could not be used, the warning to print. */
export function loadConfigFile(path: string): { config: ConfigFile; warning?: string } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { config: {} };
    const why = errnoOf(error) === "EACCES" ? "permission denied" : messageOf(error);
    return { config: {}, warning: `WARNING: Error loading config file: open ${path}: ${why}` };
  }
  try {
    const parsed: unknown = text.trim() === "" ? {} : JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw new GantryError(
        "invalid",
        "json: cannot unmarshal value into Go value of type configfile.ConfigFile",
      );
    }
    return { config: parsed as ConfigFile };
  } catch (error) {
    const why =
      error instanceof GantryError ? error.message : jsonComplaint(text, messageOf(error));
    return { config: {}, warning: `WARNING: Error loading config file: ${path}: ${why}` };
  }
}

/** The complaint in the words of Go's decoder for the two mistakes that people make. */
function jsonComplaint(text: string, message: string): string {
  if (/unexpected end|unterminated/i.test(message)) return "unexpected EOF";
  const at = Number(/position (\d+)/.exec(message)?.[1] ?? Number.NaN);
  const character = Number.isNaN(at) ? /token '?(.)/.exec(message)?.[1] : text[at];
  return character === undefined
    ? `invalid character: ${message}`
    : `invalid character '${character}' looking for beginning of value`;
}

/** Writes the file back, through a symlink if there is one. */
export async function saveConfigFile(path: string, config: ConfigFile): Promise<void> {
  let target = path;
  try {
    target = realpathSync(path);
  } catch {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  }
  await writeFileAtomic(target, `${JSON.stringify(config, undefined, "\t")}\n`);
}
