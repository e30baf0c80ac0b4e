// The invocations that are compared, as data: `scripts/*.txt` hold scripts of one step a line. A
// step is a shell line (the stock docker CLI is `docker`) or a request of the API; a script begins
// at a line `# name: what it is about` with a daemon that holds nothing but the payload's image.
//
//   docker run --rm payload exit 3            POST /containers/create?name=a {"Image":"payload"}
//
// What follows "  #! " says how the answer is compared: `sort` its lines, `keys` (values of JSON
// become their types), `shape` (numbers become N), `status` (nothing but exit code or status),
// `noerr`, `noout`, `setup` (not compared), `as=NAME` (keeps the answer's Id as $NAME),
// `type=MIME`, `api=N` (the version of the API that a request names).

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const SCRIPTS = fileURLToPath(new URL("scripts", import.meta.url));

export type Flag = "sort" | "keys" | "shape" | "status" | "noerr" | "noout" | "setup";
export type Request = { method: string; path: string; body?: string };
export type Step = {
  /** The line without its flags; with `(2)` behind it when the script has it twice. */
  title: string;
  line: string;
  flags: ReadonlySet<Flag>;
  as?: string;
  type?: string;
  api?: string;
  /** Absent for a shell line. */
  request?: Request;
};
export type Script = { file: string; name: string; steps: Step[] };

const FLAGS = ["sort", "keys", "shape", "status", "noerr", "noout", "setup"];

export async function readScripts(): Promise<Script[]> {
  const names = (await readdir(SCRIPTS)).filter((name) => name.endsWith(".txt")).sort();
  const texts = names.map(async (name) =>
    parseScripts(basename(name, ".txt"), await readFile(join(SCRIPTS, name), "utf8")),
  );
  return (await Promise.all(texts)).flat();
}

export function parseScripts(file: string, text: string): Script[] {
  const scripts: Script[] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const begins = /^# ([\w-]+): /.exec(line);
    if (begins) scripts.push({ file, name: `${file}/${begins[1]}`, steps: [] });
    else if (!line.startsWith("#")) {
      const script = scripts.at(-1);
      if (script === undefined) throw new Error(`${file}: "${line}" stands before any script`);
      script.steps.push(parseStep(line, script));
    }
  }
  const names = scripts.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice) throw new Error(`There are two scripts of the name ${twice}`);
  return scripts;
}

function parseStep(whole: string, { name, steps }: Script): Step {
  const [line = "", flagged = ""] = whole.split(/\s+#! /);
  const flags = new Set<Flag>();
  const settings: Record<string, string> = {};
  for (const word of flagged.split(" ").filter(Boolean)) {
    const [key = "", value] = word.split("=");
    if (value !== undefined && ["as", "type", "api"].includes(key)) settings[key] = value;
    else if (FLAGS.includes(word)) flags.add(word as Flag);
    else throw new Error(`${name}: unknown flag ${word}`);
  }
  const before = steps.filter((step) => step.line === line).length;
  const title = before === 0 ? line : `${line} (${before + 1})`;
  const [, method, path, body] =
    /^(GET|HEAD|POST|PUT|DELETE|OPTIONS) (\S+)(?: (.+))?$/.exec(line) ?? [];
  const request = method && path ? { request: { method, path, ...(body && { body }) } } : {};
  return { title, line, flags, ...settings, ...request };
}
