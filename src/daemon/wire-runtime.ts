// The runtime layer as the engine wants it: its pure planners, bound to the kernel that was probed
// once.

import { readdir, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "../base/index.ts";
import type { CgroupPaths, RuntimePlans } from "../engine/index.ts";
import type { Native } from "../native/index.ts";
import {
  type CgroupLayout,
  cgroupPathFor,
  cgroupPlaces,
  parseCpuList,
  planCgroupParents,
  planCgroupRemove,
  planCreate,
  planExec,
  planFreeze,
  planRestore,
  planUpdate,
  probeKernel,
  readProcStat,
  StatsReader,
  sampleNow,
} from "../runtime/index.ts";

const CONTAINER_ID = /^[0-9a-f]{64}$/;
const STANDBY = /^\.standby-\d+$/;

export async function wireRuntime(
  native: Native,
  log: Logger,
  { cgroupParent, cgroupParentIsOwn }: { cgroupParent: string; cgroupParentIsOwn: boolean },
): Promise<RuntimePlans> {
  const kernel = await probeKernel(native);
  for (const warning of kernel.warnings) log.debug(warning);
  const host = {
    memoryTotalBytes: kernel.memoryTotalBytes ?? 0,
    onlineCpus: parseCpuList(kernel.cpus ?? "0").length,
  };
  const prepared = await prepareCgroups(native, kernel.cgroup, cgroupParent, log);
  // A parent that was given may be shared: another engine that ends removes it where it is empty.
  const preparedParents = cgroupParentIsOwn ? prepared : new Set<string>();
  return {
    kernel,
    planCreate: (input) => planCreate({ ...input, preparedParents }),
    planRestore,
    planExec,
    planFreeze,
    planUpdate: (paths, wanted, previous) => planUpdate(kernel.cgroup, paths, wanted, previous),
    planCgroupRemove,
    findCgroups: (parent) => findCgroups(kernel.cgroup, parent),
    openStats: (paths, pid) => {
      const reader = new StatsReader(paths, pid, host);
      return {
        read: async (hostSample) => ({ ...(await reader.read(hostSample)) }),
        close: () => reader.close(),
      };
    },
    readHostSample: readProcStat,
    sampleNow: (paths, pid) => sampleNow(paths, pid, host),
  };
}

/** Makes the containers' parent folder in each hierarchy, and has standby executors wait in it. */
async function prepareCgroups(
  native: Native,
  layout: CgroupLayout,
  parent: string,
  log: Logger,
): Promise<ReadonlySet<string>> {
  const path = cgroupPathFor("x", parent);
  const places = cgroupPlaces(layout, path);
  try {
    await native.run({ host: planCgroupParents(places) });
    const v1 = places.filter(({ version }) => version === 1);
    const parents = v1.map((place) => dirname(place.path));
    await removeStandbys(parents);
    await native.preparePool?.(parents);
    return new Set([dirname(path)]);
  } catch (error) {
    // Each start makes them itself then, and says what is wrong.
    log.warn("Failed to prepare the cgroups of containers", { parent, error });
    return new Set();
  }
}

/** Removes what standby executors (native/pool.c) prepared that were killed with their monitors.
 * One in use is not empty, and one that was only just made is made again by who needs it. */
async function removeStandbys(parents: readonly string[]): Promise<void> {
  for (const parent of parents) {
    for (const name of await readdir(parent).catch(() => [])) {
      if (STANDBY.test(name)) await rmdir(`${parent}/${name}`).catch(() => {});
    }
  }
}

/** Removes the containers' parent folder from each hierarchy where it is empty. */
export async function removeCgroupParent(layout: CgroupLayout, parent: string): Promise<void> {
  const relative = cgroupPathFor("x", parent).slice(0, -"/x".length);
  if (relative === "") return;
  const mounts = new Set([...layout.v1.values(), ...(layout.v2 ? [layout.v2.path] : [])]);
  const parents = [...mounts].map((mount) => mount + relative);
  await removeStandbys(parents);
  for (const path of parents) await rmdir(path).catch(() => {}); // it is in use
}

/** One listing of the parent folder in each hierarchy. */
async function findCgroups(
  layout: CgroupLayout,
  parent: string,
): Promise<ReadonlyMap<string, CgroupPaths>> {
  const found = new Map<string, Record<string, string>>();
  const hierarchies: [string, string][] = [...layout.v1];
  if (layout.v2) hierarchies.push(["", layout.v2.path]);
  // cgroupPathFor knows the default parent and refuses what it cannot serve.
  const relative = cgroupPathFor("x", parent).slice(0, -"/x".length);
  for (const [controller, mount] of hierarchies) {
    for (const name of await readdir(mount + relative).catch(() => [])) {
      if (!CONTAINER_ID.test(name)) continue;
      const paths = found.get(name) ?? {};
      paths[controller] = `${mount}${relative}/${name}`;
      found.set(name, paths);
    }
  }
  return found;
}
