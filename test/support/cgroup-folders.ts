// The cgroup folders beneath the parent that a test gave its engine, in whichever hierarchies the
// machine has.

import { readdir, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const CGROUP_ROOT = "/sys/fs/cgroup";
const ATTEMPTS_MAX = 50;
const BETWEEN_ATTEMPTS_MS = 20;

/** The parent's folders and all below them, deepest first. */
export async function cgroupFolders(parent: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      if (entry.isDirectory()) await visit(join(folder, entry.name));
    }
    found.push(folder);
  };
  const tops = await readdir(CGROUP_ROOT).catch(() => []);
  for (const top of [CGROUP_ROOT, ...tops.map((name) => join(CGROUP_ROOT, name))]) {
    const path = join(top, parent);
    if (await stat(path).catch(() => undefined)) await visit(path);
  }
  return [...new Set(found)];
}

/** Removes them; one whose last process is still ending is tried again for a second. */
export async function removeCgroupFolders(parent: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const folders = await cgroupFolders(parent);
    if (folders.length === 0) return;
    for (const path of folders) await rmdir(path).catch(() => {});
    await delay(BETWEEN_ATTEMPTS_MS);
  }
}
