// Whether a command does anything with a flag that it declares, read from its source: the command's
// file and the files of the client that it imports. Where nothing but the declaration names the
// flag, its use is unknown; that something names it is no proof.

import { globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { root } from "./facts.ts";

const CLIENT = join(root, "src/cli");

export class FlagUse {
  /** Each command's source, with that of what it imports. */
  #sources = new Map<unknown, string>();

  async load(): Promise<this> {
    const files = globSync("commands/**/*.ts", { cwd: CLIENT }).filter(
      (file) => !file.endsWith(".test.ts"),
    );
    for (const file of files) {
      const path = join(CLIENT, file);
      const found = Object.values((await import(path)) as object).filter(isCommand);
      if (found.length === 0) continue;
      const texts = [...importedFrom(path)].map((one) => readFileSync(one, "utf8"));
      for (const command of found) this.#sources.set(command, texts.join("\n"));
    }
    return this;
  }

  /** Whether the source of `command` names its flag elsewhere than where it is declared. */
  isNamed(command: unknown, flag: string): boolean {
    return namesFlag(this.#sources.get(command) ?? "", flag);
  }
}

function isCommand(value: unknown): boolean {
  return typeof value === "object" && value !== null && "flags" in value && "run" in value;
}

export function namesFlag(source: string, flag: string): boolean {
  const name = RegExp.escape(flag);
  // A declaration is `"cpu-shares": {` or `"cpu-shares": bytes(…)`.
  const quoted = `"${name}"(?!: ?(?:\\{|\\w+\\())`;
  if (flag.includes("-")) return new RegExp(quoted).test(source);
  const member = `\\.${name}\\b`;
  const taken = `\\{[^{}]*\\b${name}\\b[^{}]*\\} = (?:flags|values|parsed)`;
  return new RegExp(`${member}|${quoted}|${taken}|values: \\{[^}]*\\b${name}\\b`).test(source);
}

function importedFrom(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, path] of readFileSync(file, "utf8").matchAll(/ from "(\.[^"]+)"/g)) {
    const next = resolve(dirname(file), path!);
    if (next.startsWith(CLIENT)) importedFrom(next, seen);
  }
  return seen;
}
