// The operations that make, limit, enter, freeze and remove a container's cgroups, on v1, v2 and
// hybrid hosts. Pure. Order that the kernel forces: limits before the first process (a v1 cpuset
// without cpus takes none), and every process out before rmdir.

import { GantryError } from "../../base/index.ts";
import type { Operation } from "../../native/index.ts";
import type { OciResources } from "../../spec/index.ts";
import type { CgroupLayout } from "../contract.ts";
import { directoryFlag, O } from "../kernel-numbers.ts";
import { type PlanBuilder, write } from "../plan-builder.ts";
import { deviceProgram } from "./device-program.ts";
import { devicePolicy, devicesV1 } from "./device-rules.ts";
import type { CgroupPlace } from "./places.ts";
import { type CgroupSetting, settingsV1 } from "./settings-v1.ts";
import { settingsV2 } from "./settings-v2.ts";

const RMDIR_RETRY_MS = 5000;

/** Makes the folders of all places and writes the limits. */
export function planCgroupCreate(
  builder: PlanBuilder,
  places: readonly CgroupPlace[],
  resources: OciResources,
  arch: "x86_64" | "aarch64",
): void {
  for (const place of places) {
    makeFolders(builder, place);
    builder.teardown.push({
      op: "rmdir",
      path: place.path,
      missingOk: true,
      retryMs: RMDIR_RETRY_MS,
    });
  }
  builder.host.push(...settingOperations(places, resources));
  for (const place of places) {
    if (place.controllers.includes("devices") && place.version === 1) {
      const lines = devicesV1(devicePolicy(resources.devices));
      for (const { file, value } of lines) builder.host.push(write(`${place.path}/${file}`, value));
    }
  }
  // The v1 controller decides where there is one; only a pure v2 host needs the program.
  const unified = places.find(({ version }) => version === 2);
  const hasV1Devices = places.some((p) => p.version === 1 && p.controllers.includes("devices"));
  if (unified && !hasV1Devices && resources.devices) {
    const slot = builder.allocate("the cgroup");
    builder.host.push(
      { op: "open", path: unified.path, flags: O.RDONLY | directoryFlag(arch), to: slot },
      {
        op: "bpfCgroupDevice",
        cgroup: slot,
        program: deviceProgram(devicePolicy(resources.devices)),
      },
      { op: "close", slot },
    );
    builder.free(slot);
  }
}

function makeFolders(builder: PlanBuilder, place: CgroupPlace): void {
  const { host } = builder;
  const cpuset = place.version === 1 && place.controllers.includes("cpuset");
  for (const [i, folder] of place.ancestors.entries()) {
    const above = place.ancestors[i - 1] ?? place.mount;
    if (cpuset) host.push(write(`${above}/cgroup.clone_children`, "1"));
    if (place.version === 2) host.push(...delegate(above, place.controllers));
    host.push({ op: "mkdir", path: folder, mode: 0o755, existOk: true });
  }
  const parent = place.ancestors.at(-1) ?? place.mount;
  // A new cpuset is empty, and no process may enter it, unless its parent says to inherit.
  if (cpuset) host.push(write(`${parent}/cgroup.clone_children`, "1"));
  if (place.version === 2) host.push(...delegate(parent, place.controllers));
  host.push({ op: "mkdir", path: place.path, mode: 0o755, existOk: true });
}

/** Children get a controller only when their parent hands it on. */
function delegate(folder: string, controllers: readonly string[]): Operation[] {
  if (controllers.length === 0) return [];
  const value = controllers.map((name) => `+${name}`).join(" ");
  return [write(`${folder}/cgroup.subtree_control`, value)];
}

function settingOperations(
  places: readonly CgroupPlace[],
  resources: OciResources,
  previous?: OciResources,
): Operation[] {
  const operations: Operation[] = [];
  const v1 = places.filter(({ version }) => version === 1);
  const unified = places.find(({ version }) => version === 2);
  const missing = (s: CgroupSetting) =>
    new GantryError(
      "invalid",
      `cannot set ${s.file}: the host has no ${s.controller} cgroup controller`,
    );
  if (v1.length > 0) {
    const { unified: raw, ...rest } = resources;
    for (const setting of settingsV1(rest, previous)) {
      const place = v1.find(({ controllers }) => controllers.includes(setting.controller));
      if (place) operations.push(write(`${place.path}/${setting.file}`, setting.value));
      else if (!unified?.controllers.includes(setting.controller)) throw missing(setting);
    }
  }
  if (unified) {
    for (const setting of settingsV2(v1.length > 0 ? onlyIn(unified, resources) : resources)) {
      const known = unified.controllers.includes(setting.controller);
      if (known || setting.controller === "cgroup") {
        operations.push(write(`${unified.path}/${setting.file}`, setting.value));
      } else throw missing(setting);
    }
  }
  return operations;
}

/** What a hybrid host's unified hierarchy can be asked for: the controllers that it carries. */
function onlyIn({ controllers }: CgroupPlace, resources: OciResources): OciResources {
  const result: OciResources = {};
  if (controllers.includes("cpu") && resources.cpu) result.cpu = resources.cpu;
  if (controllers.includes("memory") && resources.memory) result.memory = resources.memory;
  if (controllers.includes("pids") && resources.pids) result.pids = resources.pids;
  if (controllers.includes("io") && resources.blockIO) result.blockIO = resources.blockIO;
  if (controllers.includes("hugetlb") && resources.hugepageLimits) {
    result.hugepageLimits = resources.hugepageLimits;
  }
  if (controllers.includes("rdma") && resources.rdma) result.rdma = resources.rdma;
  if (resources.unified) result.unified = resources.unified;
  return result;
}

/** Puts the process in `pid` (a slot) into every place. */
export function planCgroupAttach(places: readonly CgroupPlace[], pid: number): Operation[] {
  return places.map(({ path }) => ({
    op: "writeSlot",
    path: `${path}/cgroup.procs`,
    slot: pid,
  }));
}

/** Live change of limits. `paths` is what planCreate gave. */
export function planUpdate(
  layout: CgroupLayout,
  paths: Readonly<Record<string, string>>,
  resources: OciResources,
  previous?: OciResources,
): Operation[] {
  return settingOperations(placesOfPaths(layout, paths), resources, previous);
}

function placesOfPaths(
  layout: CgroupLayout,
  paths: Readonly<Record<string, string>>,
): CgroupPlace[] {
  const byPath = new Map<string, string[]>();
  for (const [controller, path] of Object.entries(paths)) {
    if (controller !== "") byPath.set(path, [...(byPath.get(path) ?? []), controller]);
  }
  const places: CgroupPlace[] = [...byPath].map(([path, controllers]) => ({
    version: 1,
    mount: layout.v1.get(controllers[0]!) ?? "",
    path,
    controllers,
    ancestors: [],
  }));
  const unified = paths[""];
  if (unified !== undefined) {
    const { path: mount = "", controllers = [] } = layout.v2 ?? {};
    places.push({ version: 2, mount, path: unified, controllers, ancestors: [] });
  }
  return places;
}

/** Stops or resumes all processes. The last operation's result is the state's file: a v1 freezer
 * may answer "FREEZING" for a moment. */
export function planFreeze(paths: Readonly<Record<string, string>>, frozen: boolean): Operation[] {
  const freezer = paths["freezer"];
  if (freezer !== undefined) {
    const file = `${freezer}/freezer.state`;
    return [write(file, frozen ? "FROZEN" : "THAWED"), { op: "readFile", path: file, max: 64 }];
  }
  const unified = paths[""];
  if (unified === undefined) {
    throw new GantryError("not-implemented", "cannot pause: the host has no cgroup freezer");
  }
  return [
    write(`${unified}/cgroup.freeze`, frozen ? "1" : "0"),
    { op: "readFile", path: `${unified}/cgroup.events`, max: 4096 },
  ];
}

/** Kills what is left in a container's cgroups and removes them. */
export function planCgroupRemove(paths: Readonly<Record<string, string>>): Operation[] {
  const operations: Operation[] = [];
  const folder = killFolder(paths);
  if (folder !== undefined) operations.push({ op: "killCgroup", path: folder, missingOk: true });
  for (const path of new Set(Object.values(paths))) {
    operations.push({ op: "rmdir", path, missingOk: true, retryMs: RMDIR_RETRY_MS });
  }
  return operations;
}

/** The folder through which all processes of a container are found: v2's kills atomically. */
export function killFolder(paths: Readonly<Record<string, string>>): string | undefined {
  return paths[""] ?? paths["pids"] ?? paths["memory"] ?? Object.values(paths)[0];
}

/** What the monitor watches for OOM kills; "" where there is no memory controller. */
export function oomPath(places: readonly CgroupPlace[]): string {
  const place = places.find(({ controllers }) => controllers.includes("memory"));
  if (!place) return "";
  return `${place.path}/${place.version === 1 ? "memory.oom_control" : "memory.events"}`;
}
