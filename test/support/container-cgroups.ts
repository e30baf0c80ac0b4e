// Where the kernel says that a process is: the folders of its cgroups, v1 or v2.

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";

/** The folder of a controller, from /proc/PID/cgroup. */
export async function cgroupFolder(pid: number, controller: string): Promise<string> {
  const lines = (await readFile(`/proc/${pid}/cgroup`, "utf8")).trim().split("\n");
  for (const line of lines) {
    const [, names = "", path = ""] = line.split(":");
    if (names.split(",").includes(controller)) return join(ROOT, names, path);
  }
  const unified = lines.find((line) => line.startsWith("0::"));
  if (unified === undefined) throw new Error(`${controller} of process ${pid} is nowhere`);
  return join(ROOT, unified.slice(3));
}

/** Content of a file of a controller, which v1 and v2 name differently; trimmed. */
export async function cgroupValue(
  pid: number,
  controller: string,
  names: { v1: string; v2: string },
): Promise<string> {
  const folder = await cgroupFolder(pid, controller);
  const isUnified = existsSync(join(folder, "cgroup.controllers"));
  return (await readFile(join(folder, isUnified ? names.v2 : names.v1), "utf8")).trim();
}

/** Folders of a test's container in any hierarchy. */
export async function cgroupsOf(id: string): Promise<string[]> {
  const parent = `gantry-test-${process.pid}`;
  const hierarchies = ["", ...(await readdir(ROOT))];
  return hierarchies.map((name) => join(ROOT, name, parent, id)).filter(existsSync);
}
