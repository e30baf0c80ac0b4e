// The operations that make, limit, enter, freeze and remove a container's cgroups, on v1, v2 and
// hybrid hosts. Pure. Order that the kernel forces: a v1 cpuset inherits its cpus before a process
// enters, and every process is out before rmdir.

import { GantryError } from "../../base/index.ts";
import type { Operation } from "../../native/index.ts";
import type { OciResources } from "../../spec/index.ts";
import type { CgroupLayout } from "../contract.ts";
import { O } from "../kernel-numbers.ts";
import { type PlanBuilder, SLOT, text, write } from "../plan-builder.ts";
import { deviceProgram } from "./device-program.ts";
import { devicePolicy, devicesV1 } from "./device-rules.ts";
import type { CgroupPlace } from "./places.ts";
import { type CgroupSetting, settingsV1 } from "./settings-v1.ts";
import { settingsV2 } from "./settings-v2.ts";

const RMDIR_RETRY_MS = 5000;

/** What stands before `clone` is in the builder; the rest is the caller's to place. */
export interface CgroupShare {
  /** Slot of the v2 folder, for `clone`. */
  cgroup: number | undefined;
  /** Limits: written after `clone`, while the container waits. */
  limits: Operation[];
}

/** The folders above the containers' own, made once an engine (`prepared` thereafter). */
export function planCgroupParents(places: readonly CgroupPlace[]): Operation[] {
  return places.flatMap((place) => {
    const operations: Operation[] = [];
    const cpuset = place.version === 1 && place.controllers.includes("cpuset");
    const handOn = (folder: string): Operation[] => {
      // A new cpuset is empty, and no process may enter it, unless its parent says to inherit.
      if (cpuset) return [write(`${folder}/cgroup.clone_children`, "1")];
      return place.version === 2 ? delegate(folder, place.controllers) : [];
    };
    operations.push(...handOn(place.mount));
    for (const folder of place.ancestors) {
      operations.push({ op: "mkdir", path: folder, mode: 0o755, existOk: true });
      operations.push(...handOn(folder));
    }
    return operations;
  });
}

/** Whoever names the path may name one that others live in, and the teardown kills and removes: it
 * does not run where the first operation, which is this one, fails. */
export function planCgroupClaim(places: readonly CgroupPlace[], file: string): Operation[] {
  return [
    { op: "emptyCgroups", paths: places.map(({ path }) => path) },
    { op: "touch", path: file, mode: 0o600 },
  ];
}

/** Makes the container's cgroups, so that it is born in them (v1: its executor enters first; v2:
 * CLONE_INTO_CGROUP), and their removal. With `outside` the executor stays where it is, for what it
 * runs beside the container is not the container's: its memory, its devices. */
export function planCgroupCreate(
  builder: PlanBuilder,
  places: readonly CgroupPlace[],
  resources: OciResources,
  o: { prepared: boolean; outside?: boolean },
): CgroupShare {
  const { host, teardown } = builder;
  if (!o.prepared) host.push(...planCgroupParents(places));
  for (const { path } of places) {
    teardown.push({ op: "removeCgroup", path, retryMs: RMDIR_RETRY_MS });
  }
  const v1 = places.filter(({ version }) => version === 1);
  // The executor lives in what it enters until the program runs, and counts as a process there:
  // where these are limited, the new process is moved in by itself.
  const isLimited = (resources.pids?.limit ?? 0) > 0;
  const moved = v1.filter((place) => o.outside || (isLimited && countsProcesses(place)));
  const entered = v1.filter((place) => !moved.includes(place)).map(({ path }) => path);
  if (entered.length > 0) host.push({ op: "enterCgroups", paths: entered });
  for (const { path } of moved) host.push({ op: "mkdir", path, mode: 0o755, existOk: true });
  host.push(...deviceOperations(v1, resources));
  const unified = places.find(({ version }) => version === 2);
  let cgroup: number | undefined;
  if (unified) {
    cgroup = builder.allocate("the cgroup");
    host.push(
      { op: "mkdir", path: unified.path, mode: 0o755, existOk: true },
      { op: "open", path: unified.path, flags: O.RDONLY | O.DIRECTORY, to: cgroup },
    );
  }
  const limits = limitOperations(places, resources, cgroup);
  const moves = moved.map(({ path }): Operation => {
    return { op: "writeSlot", path: `${path}/cgroup.procs`, slot: SLOT.pid };
  });
  return { cgroup, limits: [...moves, ...limits] };
}

const countsProcesses = ({ controllers }: CgroupPlace) => controllers.includes("pids");

function limitOperations(
  places: readonly CgroupPlace[],
  resources: OciResources,
  cgroup: number | undefined,
): Operation[] {
  const operations = settingOperations(places, resources);
  // Where there is the v1 controller it has decided already; a pure v2 host needs the program.
  const isV1 = places.some((p) => p.version === 1 && p.controllers.includes("devices"));
  if (!isV1 && cgroup !== undefined && resources.devices) {
    const program = deviceProgram(devicePolicy(resources.devices));
    operations.push({ op: "bpfCgroupDevice", cgroup, program });
  }
  return operations;
}

/** v1's rules go in one by one, and between "deny all" and what is allowed again nothing can be
 * made: so they are written before clone, when no container makes its devices meanwhile. */
function deviceOperations(v1: readonly CgroupPlace[], resources: OciResources): Operation[] {
  const devices = v1.find(({ controllers }) => controllers.includes("devices"));
  if (!devices) return [];
  const lines = devicesV1(devicePolicy(resources.devices));
  return lines.map(({ file, value }) => write(`${devices.path}/${file}`, value));
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
      if (place) operations.push(settingWrite(place, setting));
      else if (!unified?.controllers.includes(setting.controller)) throw missing(setting);
    }
  }
  if (unified) {
    const wanted = v1.length > 0 ? onlyIn(unified, resources) : resources;
    for (const setting of settingsV2(wanted, previous)) {
      const known = unified.controllers.includes(setting.controller);
      if (known || setting.controller === "cgroup") {
        operations.push(settingWrite(unified, setting));
      } else throw missing(setting);
    }
  }
  return operations;
}

function settingWrite({ path }: CgroupPlace, setting: CgroupSetting): Operation {
  const { file, value, or, optional } = setting;
  return {
    op: "write",
    path: `${path}/${file}`,
    data: text(value),
    ...(or && { orPath: `${path}/${or.file}`, orData: text(or.value) }),
    ...(optional && { missingOk: true }),
  };
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

/** Live change of limits. `paths` is what planCreate gave. */
export function planUpdate(
  layout: CgroupLayout,
  paths: Readonly<Record<string, string>>,
  resources: OciResources,
  previous?: OciResources,
): Operation[] {
  const places = placesOfPaths(layout, paths);
  return [...usageChecks(places, resources), ...settingOperations(places, resources, previous)];
}

/** checkBeforeUpdate: no limit beneath what is in use, where the kernel would begin to kill. */
function usageChecks(places: readonly CgroupPlace[], { memory }: OciResources): Operation[] {
  if (!memory?.checkBeforeUpdate) return [];
  const place = places.find(({ controllers }) => controllers.includes("memory"));
  if (!place) return [];
  const isV1 = place.version === 1;
  const check = (file: string, max: number | undefined): Operation[] =>
    max !== undefined && max > 0
      ? [{ op: "checkAtMost", path: `${place.path}/${file}`, max, what: "memory in use" }]
      : [];
  return [
    ...check(isV1 ? "memory.usage_in_bytes" : "memory.current", memory.limit),
    ...(isV1 ? check("memory.memsw.usage_in_bytes", memory.swap) : []),
  ];
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

/** Kills what is left in a container's cgroups, frozen or not. */
export function planCgroupKill(paths: Readonly<Record<string, string>>): Operation[] {
  const path = killFolder(paths);
  const freezer = paths["freezer"];
  if (path === undefined) return [];
  return [{ op: "killCgroup", path, missingOk: true, ...(freezer !== undefined && { freezer }) }];
}

/** Kills what is left in a container's cgroups and removes them, and what was made in them. */
export function planCgroupRemove(paths: Readonly<Record<string, string>>): Operation[] {
  const removals = [...new Set(Object.values(paths))].map(
    (path): Operation => ({ op: "removeCgroup", path, retryMs: RMDIR_RETRY_MS }),
  );
  return [...planCgroupKill(paths), ...removals];
}

/** The folder through which all processes of a container are found: v2's kills atomically. */
function killFolder(paths: Readonly<Record<string, string>>): string | undefined {
  return paths[""] ?? paths["pids"] ?? paths["memory"] ?? Object.values(paths)[0];
}

/** What the monitor watches for OOM kills; "" where there is no memory controller. */
export function oomPath(places: readonly CgroupPlace[]): string {
  const place = places.find(({ controllers }) => controllers.includes("memory"));
  if (!place) return "";
  return `${place.path}/${place.version === 1 ? "memory.oom_control" : "memory.events"}`;
}
