// --env, --env-file, --label and --label-file: files first, then flags, later ones winning.

import { readFileSync } from "node:fs";
import { errnoOf, messageOf } from "../../base/index.ts";
import { invalid } from "./list-flags.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const BOM = "\uFEFF";

/** Lines "KEY=VALUE" of a file; a key alone takes its value from `environment`, where given. */
export function readKeyValueFile(path: string, environment?: Environment): string[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const why = errnoOf(error) === "ENOENT" ? "no such file or directory" : reason(error);
    throw invalid(`open ${path}: ${why}`);
  }
  const out: string[] = [];
  const text = bytes.toString("utf8");
  const valid = Buffer.from(text).equals(bytes);
  (text.startsWith(BOM) ? text.slice(1) : text).split("\n").forEach((raw, at) => {
    const line = raw.replace(/\r$/, "").trimStart();
    if (!valid && line.includes("\uFFFD")) {
      throw invalid(`env file ${path} contains invalid utf8 bytes at line ${at + 1}: ${raw}`);
    }
    if (line === "" || line.startsWith("#")) return;
    const equals = line.indexOf("=");
    const name = equals < 0 ? line : line.slice(0, equals);
    if (/\s/.test(name)) {
      throw invalid(`invalid environment variable: variable '${name}' contains whitespaces`);
    }
    if (name === "")
      throw invalid(`invalid environment variable: no variable name on line '${line}'`);
    if (equals >= 0) out.push(line);
    else if (environment === undefined) out.push(line);
    else if (environment[name] !== undefined) out.push(`${name}=${environment[name]}`);
  });
  return out;
}

function reason(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === "EISDIR") return "is a directory";
  return errno === "EACCES" ? "permission denied" : messageOf(error);
}

/** Everything of --env-file, then --env with names alone filled from the caller's environment. */
export function readEnvironment(
  files: readonly string[],
  flags: readonly string[],
  environment: Environment,
): string[] {
  const fromFiles = files.flatMap((file) => readKeyValueFile(file, environment));
  const fromFlags = flags.map((text) => {
    if (text.includes("=") || environment[text] === undefined) return text;
    return `${text}=${environment[text]}`;
  });
  return [...fromFiles, ...fromFlags];
}

/** "k=v" lists as an object; a key alone has an empty value. */
export function pairsToRecord(pairs: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 0) out[pair] = "";
    else out[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return out;
}

export function readLabels(files: readonly string[], flags: readonly string[]) {
  return pairsToRecord([...files.flatMap((file) => readKeyValueFile(file)), ...flags]);
}
