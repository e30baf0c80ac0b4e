// Completion within a plugin: the plugin speaks the same protocol, so its answer is passed on.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Candidate } from "../complete/sources.ts";
import { DIRECTIVE } from "../complete/sources.ts";
import type { Io } from "../io.ts";
import { type Globals, Session } from "../session.ts";
import { findPlugins } from "./find.ts";
import { pluginEnvironment } from "./run.ts";

const ANSWER_MS_MAX = 3_000;
const ANSWER_BYTES_MAX = 4 << 20;

/** Asks the plugin of that name; without one there is nothing to offer. */
export async function completePlugin(
  io: Io,
  globals: Globals,
  { name, args }: { name: string; args: readonly string[] },
): Promise<{ candidates: Candidate[]; directive: number }> {
  const session = new Session(io, globals);
  const plugin = findPlugins(session).find((one) => one.name === name);
  if (!plugin) return { candidates: [], directive: DIRECTIVE.noFiles };
  const { stdout } = await promisify(execFile)(plugin.path, ["__complete", name, ...args], {
    env: pluginEnvironment(session),
    cwd: io.cwd,
    timeout: ANSWER_MS_MAX,
    maxBuffer: ANSWER_BYTES_MAX,
  });
  return parseAnswer(stdout);
}

/** "value<tab>description" lines and the directive at the end. */
export function parseAnswer(text: string): { candidates: Candidate[]; directive: number } {
  const lines = text.trimEnd().split("\n");
  const directive = /^:(\d+)$/.exec(lines.at(-1) ?? "")?.[1];
  const candidates = (directive === undefined ? lines : lines.slice(0, -1))
    .filter((line) => line !== "")
    .map((line) => {
      const [value = "", description] = line.split("\t");
      return { value, ...(description ? { description } : {}) };
    });
  return { candidates, directive: Number(directive ?? DIRECTIVE.files) };
}
