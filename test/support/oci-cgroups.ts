// A container's cgroups as the kernel tells of them: /proc/PID/cgroup and the files in the folders.

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KernelFeatures } from "../../src/runtime/index.ts";

type Layout = KernelFeatures["cgroup"];

/** Controller → folder of a process; the unified hierarchy has the key "". */
export async function cgroupsOf(pid: number, layout: Layout): Promise<Map<string, string>> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const folders = new Map<string, string>();
  for (const line of text.trimEnd().split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const name of controllers.split(",")) {
      const mount = name === "" ? layout.v2?.path : layout.v1.get(name);
      if (mount !== undefined) folders.set(name, join(mount, path));
    }
  }
  return folders;
}

/** The folder that limits of a controller are in: of version 1, or the unified one. */
export async function limitFolder(
  pid: number,
  layout: Layout,
  controller: string,
): Promise<{ version: 1 | 2; folder: string } | undefined> {
  const folders = await cgroupsOf(pid, layout);
  const v1 = folders.get(controller);
  if (v1 !== undefined) return { version: 1, folder: v1 };
  const v2 = folders.get("");
  const known = controller === "cgroup" || layout.v2?.controllers.includes(controller);
  return v2 !== undefined && known ? { version: 2, folder: v2 } : undefined;
}

/** Every folder of that path in any hierarchy. */
export async function foldersAt(path: string, layout: Layout): Promise<string[]> {
  const mounts = [...new Set(layout.v1.values()), ...(layout.v2 ? [layout.v2.path] : [])];
  return mounts.map((mount) => join(mount, path)).filter((folder) => existsSync(folder));
}

/** The names of the folders in a folder. */
export async function children(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
