// The daemon's configuration: flags over daemon.json over defaults, with dockerd's rules and
// sentences. What is set both as a flag and in the file is refused, and so is what nobody knows.

import { readFile } from "node:fs/promises";
import {
  errnoOf,
  type FlagSpec,
  type FlagSpecs,
  GantryError,
  messageOf,
  type ParsedFlags,
  parseFlags,
} from "../base/index.ts";
import { options } from "./option-table.ts";
import { flagSpecOf } from "./option-values.ts";
import { goValue, parseConfigFile } from "./parse-config-file.ts";

const CONFIG_FILE_DEFAULT = "/etc/gantry/daemon.json";

export interface Config {
  /** By key of daemon.json; every option has a value or undefined. */
  values: ReadonlyMap<string, unknown>;
  /** Keys that somebody set, and where. */
  setBy: ReadonlyMap<string, "flag" | "file">;
  configFile: string;
  /** There was such a file: what is wrong with the whole is told with its name. */
  hasFile: boolean;
  validateOnly: boolean;
  showVersion: boolean;
  showHelp: boolean;
  /** Lines for the log: options without effect, deprecated flags. */
  warnings: string[];
}

/** The daemon's flags, for the parser and for help. */
export const daemonFlags: FlagSpecs = {
  ...Object.fromEntries(
    options
      .filter((option) => option.flag !== "")
      .map((option): [string, FlagSpec] => [option.flag, flagSpecOf(option)]),
  ),
  "config-file": {
    type: "string",
    default: CONFIG_FILE_DEFAULT,
    usage: "Daemon configuration file",
  },
  validate: { type: "bool", usage: "Validate daemon configuration and exit" },
  version: { type: "bool", shorthand: "v", usage: "Print version information and quit" },
  help: { type: "bool", shorthand: "h", usage: "Print usage" },
};

/** Reads flags and file. Throws invalid with dockerd's wording. */
export async function loadConfig(argv: readonly string[]): Promise<Config> {
  const parsed = parseArguments(argv);
  const given = parsed.values as Record<string, unknown>;
  const configFile = String(given["config-file"]);
  const fromFlags = new Map<string, unknown>();
  for (const option of options) {
    if (option.flag !== "" && parsed.changed.has(option.flag)) {
      fromFlags.set(option.key, given[option.flag]);
    }
  }
  const showHelp = given["help"] === true;
  const showVersion = given["version"] === true;
  const read =
    showHelp || showVersion
      ? undefined
      : await readConfigFile(configFile, fromFlags, parsed.changed.has("config-file"));
  const fromFile = read ?? new Map<string, unknown>();
  const config = merge(fromFlags, fromFile);
  const warnings = [...parsed.notices, ...checkEffects(config.values, config.setBy)];
  const validateOnly = given["validate"] === true;
  const hasFile = read !== undefined;
  return { ...config, configFile, hasFile, validateOnly, showVersion, showHelp, warnings };
}

/** Failures of the command line (not of the file) carry detail.usage. */
function parseArguments(argv: readonly string[]): ParsedFlags<FlagSpecs> {
  const usage = { detail: { usage: true } };
  let parsed: ParsedFlags<FlagSpecs>;
  try {
    parsed = parseFlags(daemonFlags, argv);
  } catch (cause) {
    throw new GantryError("invalid", messageOf(cause), { cause, ...usage });
  }
  if (parsed.args.length === 0) return parsed;
  const extra = parsed.args.join(" ");
  throw new GantryError("invalid", `"gantry daemon" accepts no arguments: ${extra}`, usage);
}

function merge(
  fromFlags: ReadonlyMap<string, unknown>,
  fromFile: ReadonlyMap<string, unknown>,
): Pick<Config, "values" | "setBy"> {
  const values = new Map<string, unknown>();
  const setBy = new Map<string, "flag" | "file">();
  for (const { key, default: fallback } of options) {
    values.set(key, fromFlags.get(key) ?? fromFile.get(key) ?? fallback);
    if (fromFlags.has(key)) setBy.set(key, "flag");
    else if (fromFile.has(key)) setBy.set(key, "file");
  }
  return { values, setBy };
}

async function readConfigFile(
  path: string,
  fromFlags: ReadonlyMap<string, unknown>,
  required: boolean,
): Promise<Map<string, unknown> | undefined> {
  try {
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT" && !required) return undefined;
      throw new GantryError("invalid", `open ${path}: ${openFailure(error)}`, { cause: error });
    });
    return text === undefined ? undefined : parseConfigFile(text, fromFlags);
  } catch (cause) {
    throw withFile(path, cause);
  }
}

/** A failure of the file, in dockerd's words. */
export function withFile(path: string, cause: unknown): GantryError {
  const message = `unable to configure the Docker daemon with file ${path}: ${messageOf(cause)}`;
  return new GantryError("invalid", message, { cause });
}

export function openFailure(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === "ENOENT") return "no such file or directory";
  return errno === "EACCES" ? "permission denied" : messageOf(error);
}

/** Throws for an option that is refused; returns warnings for those without effect. */
function checkEffects(
  values: ReadonlyMap<string, unknown>,
  setBy: ReadonlyMap<string, "flag" | "file">,
): string[] {
  const warnings: string[] = [];
  for (const { key, effect } of options) {
    if (!setBy.has(key) || effect.does === "works") continue;
    const value = values.get(key);
    if (effect.does === "nothing") {
      warnings.push(`Option ${key} has no effect: ${effect.because}`);
    } else if (!isEmpty(value) && !effect.except?.some((allowed) => sameValue(allowed, value))) {
      throw new GantryError(
        "invalid",
        `option ${key} cannot be set to ${goValue(value)}: ${effect.because}`,
      );
    }
  }
  return warnings;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function sameValue(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
