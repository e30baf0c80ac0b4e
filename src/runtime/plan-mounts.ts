// The mounts of a container. Sources that need the host's view (binds, layers) are cloned or made
// detached in the host half, with their attributes already set; the container half only moves
// them to targets that are resolved inside the root. File systems that belong to the container's
// own namespaces (proc, sysfs, mqueue, devpts, cgroup) are made in the container half.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciMount, OciSpec } from "../spec/index.ts";
import { cleanPath } from "./cgroup/places.ts";
import type { KernelFeatures } from "./contract.ts";
import { checkIdMap } from "./id-maps.ts";
import { MAGIC, MS } from "./kernel-numbers.ts";
import { type MountOptions, type Propagation, parseMountOptions } from "./mount-options.ts";
import { openBindSource } from "./plan-bind-source.ts";
import { type PlanBuilder, SLOT } from "./plan-builder.ts";
import { type CgroupMountContext, planCgroupMount } from "./plan-cgroup-mount.ts";
import {
  type FileSystemContext,
  fileSystemOperations,
  remountOperations,
} from "./plan-file-system.ts";
import { mapSlot } from "./plan-userns.ts";

export interface MountContext extends CgroupMountContext, FileSystemContext {}

/** Opens the sources of binds in the host half. Returns the slot of each, or "receive" where it
 * comes over after clone because the slots are used up. */
export type PreparedSource = { slot: number } | "receive";

interface BindContext {
  /** Operations that come after clone. */
  late: Operation[];
  kernel: KernelFeatures;
  spec: Pick<OciSpec, "linux">;
  /** The user namespace that the container joins. */
  joinedUser?: number | undefined;
}

export function planBindSource(
  builder: PlanBuilder,
  mount: OciMount,
  context: BindContext,
): PreparedSource {
  const slot = builder.tryAllocate();
  const operations = sourceOperations(builder, mount, {
    ...context,
    slot: slot ?? SLOT.temporary,
  });
  if (slot !== undefined) {
    builder.host.push(...operations);
    return { slot };
  }
  context.late.push(
    ...operations,
    { op: "sendSlot", slot: SLOT.temporary },
    { op: "close", slot: SLOT.temporary },
  );
  return "receive";
}

function sourceOperations(
  builder: PlanBuilder,
  mount: OciMount,
  context: BindContext & { slot: number },
): Operation[] {
  const { kernel, slot } = context;
  const options = parseMountOptions(mount.options);
  if (!mount.layers && !mount.source?.startsWith("/")) {
    throw new GantryError("invalid", `invalid mount source ${JSON.stringify(mount.source ?? "")}`);
  }
  checkBind(mount, options);
  const recursive = options.recursiveBind;
  const operations = openBindSource(builder, mount, { recursive, to: slot, kernel });
  if (cleanPath(mount.destination) === "/proc") {
    operations.push({ op: "assertFilesystem", slot, magic: MAGIC.PROC });
  }
  operations.push(
    ...idMapOperations(builder, mount, { ...context, options }),
    ...attributeOperations(options, slot),
  );
  const wanted = options.propagations;
  // The clone is in its source's peer group already: "shared" has nothing left to do there, and
  // makes a group of its own where the source is private.
  for (const one of wanted.length > 0 ? wanted : inherited(context.spec)) {
    const { type: propagation, recursive: deep } = one;
    operations.push({ op: "mountAttr", slot, propagation, recursive: deep });
  }
  return operations;
}

/** What a bind gets that says nothing itself: as of the root, whose default is a slave's. */
function inherited({ linux }: BindContext["spec"]): Propagation[] {
  const root = linux?.rootfsPropagation?.replace(/^r/, "") ?? "slave";
  if (root === "shared") return [];
  return [{ type: root === "slave" ? MS.SLAVE : MS.PRIVATE, recursive: true }];
}

/** A bind has no superblock of its own: the kernel would let such options pass unseen. */
function checkBind({ destination }: OciMount, options: MountOptions): void {
  const refuse = (why: string) => new GantryError("invalid", `mount ${destination}: ${why}`);
  const flags = [...options.superblock].filter(([, on]) => on).map(([flag]) => flag);
  const words = [...options.data, ...flags.filter((flag) => flag !== "silent")];
  if (words.length > 0) {
    throw refuse(
      `bind mounts cannot have any filesystem-specific options applied: ${words.join(",")}`,
    );
  }
  if (options.copyUp) throw refuse("tmpcopyup is for tmpfs only");
}

/** The map of the mount's own, or with "idmap" alone the container's. */
function idMapOperations(
  builder: PlanBuilder,
  mount: OciMount,
  o: BindContext & { slot: number; options: MountOptions },
): Operation[] {
  const { slot, spec, joinedUser, options } = o;
  const { linux } = spec;
  const refuse = (why: string) => new GantryError("invalid", `mount ${mount.destination}: ${why}`);
  let { uidMappings: uids = [], gidMappings: gids = [] } = mount;
  const recursive = options.idmap?.recursive === true;
  const of = mount.source ? { of: mount.source } : {};
  if ((uids.length === 0) !== (gids.length === 0)) {
    throw refuse("uidMappings and gidMappings need one another");
  }
  if (uids.length === 0) {
    if (!options.idmap) return [];
    if (joinedUser !== undefined) {
      return [{ op: "mountAttr", slot, userns: joinedUser, recursive, ...of }];
    }
    uids = linux?.uidMappings ?? [];
    gids = linux?.gidMappings ?? [];
    if (uids.length === 0) throw refuse("idmap needs uidMappings and gidMappings");
  }
  checkIdMap(uids, `uidMappings of mount ${mount.destination}`);
  checkIdMap(gids, `gidMappings of mount ${mount.destination}`);
  const { slot: userns, make, done } = mapSlot(builder, { uid: uids, gid: gids });
  return [...make, { op: "mountAttr", slot, userns, recursive, ...of }, ...done];
}

function attributeOperations(options: MountOptions, slot: number): Operation[] {
  const operations: Operation[] = [];
  const { set, clear, recursiveSet, recursiveClear } = options;
  if (set !== 0 || clear !== 0) operations.push({ op: "mountAttr", slot, set, clear });
  if (recursiveSet !== 0 || recursiveClear !== 0) {
    operations.push({
      op: "mountAttr",
      slot,
      set: recursiveSet,
      clear: recursiveClear,
      recursive: true,
    });
  }
  return operations;
}

/** Adds one mount of the spec to the container half. */
export function planMount(
  context: MountContext,
  mount: OciMount,
  prepared: PreparedSource | undefined,
): void {
  const { container } = context.builder;
  const options = parseMountOptions(mount.options);
  const path = checkDestination(mount, options);
  if (prepared !== undefined) {
    const slot = prepared === "receive" ? SLOT.temporary : prepared.slot;
    if (prepared === "receive") container.push({ op: "receiveSlot", to: slot });
    container.push(
      { op: "moveMount", slot, root: SLOT.rootfs, path, make: "same" },
      { op: "close", slot },
    );
    return;
  }
  if (options.idmap || mount.uidMappings?.length || mount.gidMappings?.length) {
    throw new GantryError("invalid", `mount ${path}: id-mapped mounts are for bind mounts only`);
  }
  if (options.remount) container.push(...remountOperations(path, options));
  else if (mount.type === "cgroup") planCgroupMount(context, path, options);
  else container.push(...fileSystemOperations(context, mount, { path, options }));
}

/** What may be mounted over: procfs is the runtime's own, but for a few harmless files of it. */
const PROC_FILES = new Set(
  [
    ...["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"],
    ...["net/dev", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"],
  ].map((name) => `/proc/${name}`),
);

/** The target, which is absolute and without dots whatever the configuration says. */
function checkDestination(mount: OciMount, options: MountOptions): string {
  const path = cleanPath(mount.destination);
  if (path === "") {
    throw new GantryError("invalid", "invalid specification: destination can't be '/'");
  }
  if (path === "/proc" && (mount.type === "proc" || options.bind || options.remount)) return path;
  if (path !== "/proc" && !path.startsWith("/proc/")) return path;
  if ((options.bind || options.remount) && PROC_FILES.has(path)) return path;
  throw new GantryError(
    "invalid",
    `${JSON.stringify(path)} cannot be mounted because it is inside /proc`,
  );
}

/** Whether a mount has a source on the host that is cloned. */
export function isBind(mount: OciMount): boolean {
  const { bind, remount } = parseMountOptions(mount.options);
  return (mount.type === "bind" || bind) && !remount;
}
