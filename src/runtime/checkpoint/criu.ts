// Running CRIU, and what it says when it fails.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";
import { CRIU_LOG as LOG } from "./arguments.ts";

export const CRIU = "criu";
const ERRORS_MAX = 3;
/** As long as a restore may take: a gigabyte goes to a slow disk in less. */
const DUMP_DEADLINE_MS = 300_000;

/** Runs `criu dump …`. Throws with the last errors of its log, and when it does not end in time:
 * what it has stopped goes on when it is killed. `path` is where the program is looked for. */
export async function runDump(
  args: readonly string[],
  workFolder: string,
  o: { deadlineMs?: number; program?: string; path?: string } = {},
): Promise<void> {
  const { deadlineMs = DUMP_DEADLINE_MS, program = CRIU, path = process.env["PATH"] ?? "" } = o;
  const { code, isLate } = await new Promise<{ code: number; isLate: boolean }>(
    (resolve, reject) => {
      const limits = { timeout: deadlineMs, killSignal: "SIGKILL" } as const;
      const env = { ...process.env, PATH: path };
      const child = spawn(program, args, { stdio: "ignore", env, ...limits });
      child.once("error", reject);
      child.once("close", (exit) => resolve({ code: exit ?? 1, isLate: child.killed }));
    },
  ).catch((cause: unknown) => {
    if (errnoOf(cause) !== "ENOENT") throw cause;
    throw criuMissing(cause, program);
  });
  if (isLate) {
    const message = `criu did not end within ${deadlineMs / 1000} s (${join(workFolder, LOG.dump)})`;
    throw new GantryError("timeout", message);
  }
  if (code !== 0) throw await criuFailed(workFolder, LOG.dump);
}

export function criuMissing(cause: unknown, program = CRIU): GantryError {
  const message = `exec: "${program}": executable file not found in $PATH (install CRIU)`;
  return new GantryError("not-implemented", message, { cause });
}

/** What the log says went wrong. */
export async function criuFailed(
  workFolder: string,
  log: string,
  cause?: unknown,
): Promise<GantryError> {
  const path = join(workFolder, log);
  const text = await readFile(path, "utf8").catch(() => "");
  // Some errors are expected (a limit that could not be raised): the last ones tell why it ended.
  const errors = text.split("\n").filter((line) => /(^| )Error /.test(line));
  const said = errors
    .slice(-ERRORS_MAX)
    .map((line) => line.replace(/^\(\d+\.\d+\)\s*(\d+: )?/, "").trim())
    .join("; ");
  const why = said === "" ? "it does not say why; does `criu check` succeed here?" : said;
  return new GantryError("internal", `criu failed: ${why} (${path})`, { cause });
}
