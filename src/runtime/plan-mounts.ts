// The mounts of a container. Sources that need the host's view (binds, layers) are cloned or made
// detached in the host half, with their attributes already set; the container half only moves
// them to targets that are resolved inside the root. File systems that belong to the container's
// own namespaces (proc, sysfs, mqueue, devpts, cgroup) are made in the container half.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciIdMapping, OciMount } from "../spec/index.ts";
import { type CgroupPlace, cleanPath } from "./cgroup/places.ts";
import type { KernelFeatures } from "./contract.ts";
import { directoryFlag, MOUNT_ATTR, MS, nofollowFlag, O } from "./kernel-numbers.ts";
import { type MountOptions, parseMountOptions } from "./mount-options.ts";
import { openBindSource } from "./plan-bind-source.ts";
import { type PlanBuilder, SCRATCH, SLOT } from "./plan-builder.ts";

export interface MountContext {
  builder: PlanBuilder;
  kernel: KernelFeatures;
  places: readonly CgroupPlace[];
  cgroupNamespace: boolean;
  userNamespace: boolean;
  /** Called before the first thing that needs the process to be in its cgroup. */
  awaitAttached(): void;
}

/** Opens the sources of binds in the host half. Returns the slot of each, or "receive" where it
 * comes over after clone because the slots are used up. */
export type PreparedSource = { slot: number } | "receive";

export function planBindSource(
  builder: PlanBuilder,
  mount: OciMount,
  { late, kernel }: { late: Operation[]; kernel: KernelFeatures },
): PreparedSource {
  const slot = builder.tryAllocate();
  const operations = sourceOperations(builder, mount, { kernel, slot: slot ?? SLOT.temporary });
  if (slot !== undefined) {
    builder.host.push(...operations);
    return { slot };
  }
  late.push(
    ...operations,
    { op: "sendSlot", slot: SLOT.temporary },
    { op: "close", slot: SLOT.temporary },
  );
  return "receive";
}

function sourceOperations(
  builder: PlanBuilder,
  mount: OciMount,
  { kernel, slot }: { kernel: KernelFeatures; slot: number },
): Operation[] {
  const options = parseMountOptions(mount.options);
  if (!mount.layers && !mount.source?.startsWith("/")) {
    throw new GantryError("invalid", `invalid mount source ${JSON.stringify(mount.source ?? "")}`);
  }
  const recursive = options.recursiveBind;
  const operations = openBindSource(builder, mount, { recursive, to: slot, kernel });
  if (mount.uidMappings?.length || mount.gidMappings?.length) {
    const [userns] = SCRATCH;
    operations.push(
      {
        op: "makeUserns",
        uidMap: idMapText(mount.uidMappings),
        gidMap: idMapText(mount.gidMappings),
        to: userns,
      },
      { op: "mountAttr", slot, userns, recursive: options.idmap?.recursive === true },
      { op: "close", slot: userns },
    );
  } else if (options.idmap) {
    throw new GantryError(
      "invalid",
      `mount ${mount.destination}: idmap needs uidMappings and gidMappings`,
    );
  }
  operations.push(...attributeOperations(options, slot));
  const propagation = options.propagation ?? { type: MS.PRIVATE, recursive: true };
  // The clone is in its source's peer group already: "shared" has nothing left to do there, and
  // makes a group of its own where the source is private.
  operations.push({
    op: "mountAttr",
    slot,
    propagation: propagation.type,
    recursive: propagation.recursive,
  });
  return operations;
}

function attributeOperations(options: MountOptions, slot: number): Operation[] {
  const operations: Operation[] = [];
  const { set, clear, recursiveSet, recursiveClear } = options;
  // "rw" is the default of a clone; only what takes away, or was asked for by name, is applied.
  if (set !== 0 || (clear & ~MOUNT_ATTR.RDONLY) !== 0) {
    operations.push({ op: "mountAttr", slot, set, clear: clear & ~MOUNT_ATTR.RDONLY });
  }
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

/** "container host size" lines. */
export function idMapText(mappings: readonly OciIdMapping[] = []): string {
  return mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
}

/** Adds one mount of the spec to the container half. */
export function planMount(
  context: MountContext,
  mount: OciMount,
  prepared: PreparedSource | undefined,
): void {
  const { container } = context.builder;
  const options = parseMountOptions(mount.options);
  checkDestination(mount, options);
  if (prepared !== undefined) {
    const slot = prepared === "receive" ? SLOT.temporary : prepared.slot;
    if (prepared === "receive") container.push({ op: "receiveSlot", to: slot });
    container.push(
      { op: "moveMount", slot, root: SLOT.rootfs, path: mount.destination, make: "same" },
      { op: "close", slot },
    );
    return;
  }
  if (mount.type === "cgroup") {
    planCgroupMount(context, mount, options);
    return;
  }
  container.push(...fileSystemOperations(context, mount, options));
}

function fileSystemOperations(
  { kernel }: MountContext,
  mount: OciMount,
  options: MountOptions,
): Operation[] {
  const slot = SLOT.temporary;
  const fstype = mount.type ?? "";
  if (fstype === "") {
    throw new GantryError("invalid", `mount ${mount.destination} has neither type nor bind option`);
  }
  const data = [...options.data];
  const source = mount.source ?? fstype;
  // Shown by mountinfo; the first parameter of any file system.
  if (source !== "" && !source.includes("@")) data.unshift(`source=${source}`);
  if (options.readonly && fstype !== "tmpfs") data.push("ro");
  if (fstype === "devpts") data.splice(0, data.length, ...data.filter((o) => o !== "newinstance"));
  const operations: Operation[] = [];
  const { destination: path } = mount;
  if (fstype === "proc" || fstype === "sysfs") {
    // A symlink there would lead the kernel's interfaces, and their masks, somewhere else.
    const flags = O.PATH | directoryFlag(kernel.arch) | nofollowFlag(kernel.arch);
    operations.push(
      { op: "mkdirs", root: SLOT.rootfs, path, mode: 0o755 },
      { op: "open", root: SLOT.rootfs, path, flags, to: slot },
    );
  }
  operations.push({ op: "fsmount", fstype, options: data, attr: options.set, to: slot });
  if (options.recursiveSet !== 0) {
    operations.push({ op: "mountAttr", slot, set: options.recursiveSet, recursive: true });
  }
  if (options.propagation) {
    const { type, recursive } = options.propagation;
    operations.push({ op: "mountAttr", slot, propagation: type, recursive });
  }
  operations.push(
    {
      op: "moveMount",
      slot,
      root: SLOT.rootfs,
      path,
      make: "dir",
      ...(fstype === "tmpfs" && !data.some((o) => o.startsWith("mode=")) && { likeTarget: true }),
    },
    { op: "close", slot },
  );
  return operations;
}

/** What may be mounted over: procfs is the runtime's own, but for a few harmless files of it. */
const PROC_FILES = new Set(
  ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"].map(
    (name) => `/proc/${name}`,
  ),
).add("/proc/sys/kernel/ns_last_pid");

function checkDestination(mount: OciMount, options: MountOptions): void {
  const path = cleanPath(mount.destination);
  if (path === "") {
    throw new GantryError("invalid", "invalid specification: destination can't be '/'");
  }
  if (path === "/proc" && (mount.type === "proc" || options.bind)) return;
  if (path !== "/proc" && !path.startsWith("/proc/")) return;
  if (options.bind && PROC_FILES.has(path)) return;
  throw new GantryError(
    "invalid",
    `${JSON.stringify(path)} cannot be mounted because it is inside /proc`,
  );
}

/** v1: every hierarchy in a tmpfs of its own, as Docker shows it; v2: the one tree. */
function planCgroupMount(context: MountContext, mount: OciMount, options: MountOptions): void {
  if (context.cgroupNamespace) context.awaitAttached();
  const { container } = context.builder;
  const slot = SLOT.temporary;
  const v1 = context.places.filter(({ version }) => version === 1);
  const attr = options.set;
  const attach = (path: string): Operation[] => [
    { op: "moveMount", slot, root: SLOT.rootfs, path, make: "dir" },
    { op: "close", slot },
  ];
  const { destination } = mount;
  if (v1.length === 0) {
    const unified = context.places.find(({ version }) => version === 2);
    if (!unified) return;
    container.push(
      context.cgroupNamespace
        ? { op: "fsmount", fstype: "cgroup2", options: ["source=cgroup"], attr, to: slot }
        : { op: "openTree", path: unified.path, to: slot },
    );
    if (!context.cgroupNamespace) container.push(...cloneAttributes(slot, attr));
    container.push(...attach(destination));
    return;
  }
  const flags = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
  container.push(
    {
      op: "fsmount",
      fstype: "tmpfs",
      options: ["source=tmpfs", "mode=755"],
      attr: flags,
      to: slot,
    },
    ...attach(destination),
  );
  for (const place of v1) {
    const name = place.controllers.map((c) => c.replace(/^name=/, "")).join(",");
    const path = `${destination}/${name}`;
    if (context.cgroupNamespace) {
      const data = ["source=cgroup", ...place.controllers];
      container.push({ op: "fsmount", fstype: "cgroup", options: data, attr, to: slot });
    } else {
      container.push(
        { op: "openTree", path: place.path, to: slot },
        ...cloneAttributes(slot, attr),
      );
    }
    container.push(...attach(path));
    if (place.controllers.length > 1) {
      for (const link of place.controllers) {
        const at = `${destination}/${link}`;
        container.push({ op: "symlink", root: SLOT.rootfs, target: name, path: at });
      }
    }
  }
  if (options.readonly) {
    container.push(
      { op: "open", root: SLOT.rootfs, path: destination, flags: O.PATH, to: slot },
      { op: "mountAttr", slot, set: MOUNT_ATTR.RDONLY },
      { op: "close", slot },
    );
  }
}

function cloneAttributes(slot: number, set: number): Operation[] {
  return [{ op: "mountAttr", slot, set, propagation: MS.PRIVATE }];
}

export const isBind = (mount: OciMount): boolean =>
  mount.type === "bind" || parseMountOptions(mount.options).bind;
