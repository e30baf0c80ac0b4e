// The pid file, for init scripts and people. What really keeps a second daemon out is the lock on
// the data root (data-root-lock.ts); a pid file whose process is gone is replaced.

import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, writeFileAtomic } from "../base/index.ts";

/** Writes this process's pid; throws conflict when the file names a live process. */
export async function writePidfile(path: string): Promise<{ remove(): Promise<void> }> {
  const other = await readPid(path);
  if (other !== undefined && other !== process.pid && (await isAlive(other))) {
    throw new GantryError(
      "conflict",
      `ensure docker is not running or delete ${path}: process with PID ${other} is still running`,
    );
  }
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, `${process.pid}`, { mode: 0o644 });
  return {
    remove: async () => {
      if ((await readPid(path)) === process.pid) await rm(path, { force: true });
    },
  };
}

async function readPid(path: string): Promise<number | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const pid = Number(text.trim());
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

/** A zombie is dead: some containers' pid 1 reaps late or never. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name between the parentheses may hold anything; the state follows the last one.
  const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  return state !== "" && state !== "Z" && state !== "X";
}
