// Cgroups made by this daemon: folders beneath a parent that is prepared once, so that a start
// makes no more than the container's own.

import { readdir, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "../base/index.ts";
import type { CgroupPaths } from "../engine/index.ts";
import type { Native } from "../native/index.ts";
import {
  type CgroupLayout,
  cgroupPathFor,
  cgroupPlaces,
  type KernelFeatures,
  planCgroupParents,
  planCreate,
  planRestore,
  planUpdate,
} from "../runtime/index.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";

const CONTAINER_ID = /^[0-9a-f]{64}$/;
const STANDBY = /^\.standby-\d+$/;

export async function openCgroupfs(
  native: Native,
  { cgroup }: KernelFeatures,
  { cgroupParent, cgroupParentIsOwn }: { cgroupParent: string; cgroupParentIsOwn: boolean },
  log: Logger,
): Promise<CgroupDriver> {
  const prepared = await prepare(native, cgroup, cgroupParent, log);
  // A parent that was given may be shared: another engine that ends removes it where it is empty.
  const preparedParents = cgroupParentIsOwn ? prepared : new Set<string>();
  return {
    driver: "cgroupfs",
    native,
    pathFor: cgroupPathFor,
    folderOf,
    planCreate: (input) => planCreate({ ...input, preparedParents }),
    planRestore,
    planUpdate: (paths, wanted, previous) => planUpdate(cgroup, paths, wanted, previous),
    find: (parent) => find(cgroup, parent),
    close: (parent) => removeParent(cgroup, parent),
  };
}

/** Makes the containers' parent folder in each hierarchy, and has standby executors wait in it. */
async function prepare(
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

/** From the root of each hierarchy. cgroupPathFor knows the default parent and refuses what it
 * cannot serve. */
const folderOf = (parent: string) => cgroupPathFor("x", parent).slice(0, -"/x".length);

/** Removes the containers' parent folder from each hierarchy where it is empty. */
async function removeParent(layout: CgroupLayout, parent: string): Promise<void> {
  const relative = folderOf(parent);
  if (relative === "") return;
  const mounts = new Set([...layout.v1.values(), ...(layout.v2 ? [layout.v2.path] : [])]);
  const parents = [...mounts].map((mount) => mount + relative);
  await removeStandbys(parents);
  for (const path of parents) await rmdir(path).catch(() => {}); // it is in use
}

/** One listing of the parent folder in each hierarchy. */
async function find(
  layout: CgroupLayout,
  parent: string,
): Promise<ReadonlyMap<string, CgroupPaths>> {
  const found = new Map<string, Record<string, string>>();
  const hierarchies: [string, string][] = [...layout.v1];
  if (layout.v2) hierarchies.push(["", layout.v2.path]);
  const relative = folderOf(parent);
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
