// What a test run may leave behind on the host, and whether it did: mounts, cgroups, interfaces and
// processes. The harness of a test releases what it acquired; this is the check that it truly did.
// Processes are recognised by the run's id in their environment, so that only our own are counted
// (and ended), whatever else runs on the machine.

import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

export const RUN_ID_VARIABLE = "GANTRY_TEST_RUN";
const CGROUP_ROOT = "/sys/fs/cgroup";
const CGROUP_DEPTH_MAX = 6;

export type HostState = {
  mounts: string[];
  cgroups: string[];
  interfaces: string[];
  /** Folders of cgroups in which whoever else works on the machine makes and removes some. */
  placesOfOthers: string[];
};

/** What the kernel holds now, as far as a test run could have changed it. */
export async function hostState(): Promise<HostState> {
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  const mounts = mountinfo.trim().split("\n");
  const cgroups: string[] = [];
  await collectCgroups(CGROUP_ROOT, 0, cgroups);
  const memberships: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    memberships.push(await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""));
  }
  const interfaces = await readdir("/sys/class/net").catch(() => []);
  return {
    mounts: mounts.map((line) => line.split(" ").slice(3, 5).join(" on ")),
    cgroups,
    interfaces,
    placesOfOthers: placesOfOthers(memberships.join("\n")),
  };
}

/** Where the machine puts the work that it runs: beside what is there before a run others come and
 * go meanwhile. Of lines of /proc/PID/cgroup. */
export function placesOfOthers(memberships: string): string[] {
  const lines = memberships.split("\n").filter((line) => line.includes("/"));
  const parents = lines.map((line) => line.slice(line.indexOf("/"), line.lastIndexOf("/") + 1));
  return [...new Set(parents)].filter((parent) => parent !== "/");
}

async function collectCgroups(folder: string, depth: number, found: string[]): Promise<void> {
  if (depth > CGROUP_DEPTH_MAX) return;
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    found.push(path);
    await collectCgroups(path, depth + 1, found);
  }
}

/** One line for each thing that is there now and was not before. */
export function strays(before: HostState, after: HostState): string[] {
  const lines: string[] = [];
  for (const kind of ["mounts", "cgroups", "interfaces"] as const) {
    const known = new Set(before[kind]);
    for (const item of after[kind]) {
      const others = kind === "cgroups" && before.placesOfOthers.some((at) => item.includes(at));
      if (!known.has(item) && !others) lines.push(`${kind.slice(0, -1)} ${item}`);
    }
  }
  return lines;
}

/** Processes that carry this run's id, this one excepted. */
export async function ownProcesses(runId: string): Promise<{ pid: number; command: string }[]> {
  const marker = `${RUN_ID_VARIABLE}=${runId}`;
  const found: { pid: number; command: string }[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const environ = await readFile(`/proc/${name}/environ`, "latin1").catch(() => "");
    if (!environ.split("\0").includes(marker)) continue;
    const exe = await readlink(`/proc/${name}/exe`).catch(() => "");
    const cmdline = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    found.push({ pid: Number(name), command: cmdline.replaceAll("\0", " ").trim() || exe });
  }
  return found;
}
