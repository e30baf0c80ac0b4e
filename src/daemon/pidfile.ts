// The pid file, for init scripts and people. What really keeps a second daemon out is the lock on
// the data root (data-root-lock.ts); a pid file whose process is gone is replaced.

import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, writeFileAtomic } from "../base/index.ts";

/** Writes this process's pid; throws conflict when the file names a live process. */
export async function writePidfile(path: string): Promise<{ remove(): Promise<void> }> {
  const other = await readPid(path);
  if (other !== undefined && other !== process.pid && isAlive(other)) {
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
