// A warm process serves many callers, so it lives in none of their cgroups: a pod's could not be
// removed while it is there, and its memory would be counted as theirs.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { probeKernel } from "../runtime/index.ts";

/** Moves this process to the root of each hierarchy; where it may not, it stays. */
export async function leaveCgroups(): Promise<void> {
  const { cgroup } = await probeKernel();
  const mounts = new Set([...cgroup.v1.values(), ...(cgroup.v2 ? [cgroup.v2.path] : [])]);
  const leave = (path: string) => writeFile(join(path, "cgroup.procs"), String(process.pid));
  await Promise.allSettled([...mounts].map(leave));
}
