// What a container leaves in the kernel, as comparable text: mounts, cgroups (and with them
// processes), interfaces, monitors. A test takes it before and after and expects no difference.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface KernelState {
  mounts: string[];
  cgroups: string[];
  interfaces: string[];
  /** Sockets of monitors; each is unlinked by its monitor. */
  monitors: string[];
}

/** `cgroupParent`: folder beneath each hierarchy; `marker`: the root of the test's engine. */
export async function kernelState(o: {
  cgroupParent: string;
  marker: string;
}): Promise<KernelState> {
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  const lines = mountinfo.split("\n");
  return {
    mounts: lines.filter((line) => line.includes(o.marker)),
    cgroups: await cgroupsOf(lines, o.cgroupParent),
    interfaces: [...(await readFile("/proc/net/dev", "utf8")).matchAll(/^\s*(\S+):/gm)]
      .map(([, name]) => name!)
      .sort(),
    monitors: await readdir(join(o.marker, "exec/m")),
  };
}

async function cgroupsOf(mountinfo: string[], parent: string): Promise<string[]> {
  const found: string[] = [];
  for (const line of mountinfo) {
    const [before = "", after = ""] = line.split(" - ");
    if (!/^cgroup2? /.test(after)) continue;
    const folder = join(before.split(" ")[4]!, parent);
    const names = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const { name } of names.filter((entry) => entry.isDirectory())) {
      // Those in which executors stand by belong to no container.
      if (!name.startsWith(".standby-")) found.push(join(folder, name));
    }
  }
  return found.sort();
}
