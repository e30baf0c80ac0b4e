// The mounts of a plan: every slot that holds a mount is followed from where it is made or cloned
// to the path where it is attached. Pure.

import type { Operation } from "../../native/index.ts";
import { MOUNT_ATTR, MS, S_IFBLK, S_IFCHR, S_IFIFO } from "../kernel-numbers.ts";
import { SLOT } from "../plan-builder.ts";

export interface MountFact {
  path: string;
  /** A file system of its own ("proc", "tmpfs", "overlay"), or "bind". */
  type: string;
  /** Of a bind: the host's path. */
  source: string;
  /** Attributes of the mount: "ro", "nosuid" … */
  options: string[];
  /** Parameters of the file system: "size=65536k". */
  data: string[];
  /** "private", "rslave" … of a bind. */
  propagation?: string;
  recursive?: boolean;
  idmapped?: boolean;
}
export type RootFact =
  | {
      type: "overlay";
      /** Top first. */
      lower: string[];
      upper: string;
      work: string;
      volatile: boolean;
      readonly: boolean;
      /** The file that holds upper and work folders, where a size limit needs one. */
      disk?: string;
    }
  | { type: "bind"; source: string; readonly: boolean };
export interface DeviceNode {
  path: string;
  type: "c" | "b" | "p";
  major: number;
  minor: number;
  mode: string; // "0666"
}

interface Draft extends MountFact {
  attributes: number;
}

export function readMounts(
  host: readonly Operation[],
  container: readonly Operation[],
): { root: RootFact; mounts: MountFact[]; devices: DeviceNode[] } {
  const slots = new Map<number, Draft>();
  const folders = new Map<number, string>();
  const sent: Draft[] = [];
  const attached: Draft[] = [];
  const opened = new Map<number, string>();
  let disk: string | undefined;
  for (const operation of host) {
    if (operation.op === "mountImage") disk = operation.path;
    if (operation.op === "sendSlot") sent.push(slots.get(operation.slot)!);
    else follow(operation, slots, folders);
  }
  let rootIsReadOnly = false;
  for (const operation of container) {
    if (operation.op === "receiveSlot") slots.set(operation.to, sent.shift()!);
    else if (operation.op === "moveMount" && operation.root !== undefined) {
      const mount = slots.get(operation.slot);
      // With an empty path the target is the folder that was opened.
      const path = operation.path || (opened.get(operation.root) ?? "");
      if (mount) attached.push({ ...mount, path });
    } else if (operation.op === "mount") slots.set(SLOT.rootfs, mountOf(operation));
    else if (operation.op === "mountAttr" && operation.slot === SLOT.rootfs) {
      rootIsReadOnly ||= (Number(operation.set ?? 0) & MOUNT_ATTR.RDONLY) !== 0;
    } else if (operation.op === "open" && operation.root !== undefined) {
      opened.set(operation.to, operation.path);
      // Its attributes change once it is attached.
      const mount = attached.findLast(({ path }) => path === operation.path);
      if (mount) slots.set(operation.to, mount);
    } else follow(operation, slots, folders);
  }
  return {
    root: rootOf(slots.get(SLOT.rootfs), rootIsReadOnly, disk),
    mounts: attached.map(({ attributes, ...mount }) => ({
      ...mount,
      options: attributeNames(attributes),
    })),
    devices: devicesOf(container),
  };
}

function follow(operation: Operation, slots: Map<number, Draft>, folders: Map<number, string>) {
  if (operation.op === "open") folders.set(operation.to, operation.path);
  else if (operation.op === "fsmount") {
    const { fstype, options, attr = 0, to } = operation;
    slots.set(to, { ...newMount(fstype, options, folders), attributes: Number(attr) });
  } else if (operation.op === "openTree") {
    const folder = operation.root === undefined ? "" : `${folders.get(operation.root) ?? ""}/`;
    const source = `${folder}${operation.path}`;
    const recursive = operation.recursive === true;
    slots.set(operation.to, { ...bare("bind", source), recursive });
  } else if (operation.op === "mountAttr") change(operation, slots.get(operation.slot));
}

const bare = (type: string, source: string): Draft => ({
  path: "",
  type,
  source,
  options: [],
  data: [],
  attributes: 0,
});

function newMount(
  fstype: string,
  options: readonly string[],
  folders: ReadonlyMap<number, string>,
): Draft {
  const named = options.map((option) =>
    option.replace(/=@(\d+)$/, (_, slot: string) => `=${folders.get(Number(slot)) ?? slot}`),
  );
  const source = named.find((option) => option.startsWith("source="))?.slice("source=".length);
  const data = named.filter((option) => !option.startsWith("source="));
  return { ...bare(fstype, source ?? fstype), data };
}

function mountOf({ fstype, source, data = "" }: Extract<Operation, { op: "mount" }>): Draft {
  return { ...bare(fstype, source), data: data.split(",") };
}

function change(
  operation: Extract<Operation, { op: "mountAttr" }>,
  mount: Draft | undefined,
): void {
  if (!mount) return;
  const { set = 0, clear = 0, propagation = 0, userns, recursive } = operation;
  mount.attributes = (mount.attributes & ~Number(clear)) | Number(set);
  if (userns !== undefined) mount.idmapped = true;
  const name = propagationName(Number(propagation));
  if (name) mount.propagation = recursive ? `r${name}` : name;
}

function propagationName(flags: number): string | undefined {
  if (flags & MS.SHARED) return "shared";
  if (flags & MS.SLAVE) return "slave";
  if (flags & MS.PRIVATE) return "private";
  return flags & MS.UNBINDABLE ? "unbindable" : undefined;
}

function attributeNames(attributes: number): string[] {
  const names: [number, string][] = [
    [MOUNT_ATTR.RDONLY, "ro"],
    [MOUNT_ATTR.NOSUID, "nosuid"],
    [MOUNT_ATTR.NODEV, "nodev"],
    [MOUNT_ATTR.NOEXEC, "noexec"],
    [MOUNT_ATTR.NODIRATIME, "nodiratime"],
    [MOUNT_ATTR.NOSYMFOLLOW, "nosymfollow"],
  ];
  const times = attributes & MOUNT_ATTR.ATIME_MASK;
  return [
    ...names.filter(([bit]) => attributes & bit).map(([, name]) => name),
    ...(times === MOUNT_ATTR.NOATIME ? ["noatime"] : []),
  ];
}

function rootOf(mount: Draft | undefined, readonly: boolean, disk: string | undefined): RootFact {
  if (mount?.type !== "overlay") return { type: "bind", source: mount?.source ?? "", readonly };
  const values = (...keys: string[]) =>
    mount.data.flatMap((option) => {
      const [key = "", ...value] = option.split("=");
      return keys.includes(key) ? [value.join("=")] : [];
    });
  return {
    type: "overlay",
    lower: values("lowerdir", "lowerdir+").flatMap((text) => text.split(":")),
    upper: values("upperdir")[0] ?? "",
    work: values("workdir")[0] ?? "",
    volatile: mount.data.includes("volatile"),
    readonly,
    ...(disk !== undefined && { disk }),
  };
}

const S_IFMT = 0o170000;
const KINDS = new Map<number, DeviceNode["type"]>([
  [S_IFCHR, "c"],
  [S_IFBLK, "b"],
  [S_IFIFO, "p"],
]);

function devicesOf(container: readonly Operation[]): DeviceNode[] {
  return container.flatMap((operation): DeviceNode[] => {
    if (operation.op !== "mknod") return [];
    const { path, major, minor } = operation;
    const mode = Number(operation.mode);
    const type = KINDS.get(mode & S_IFMT);
    if (type === undefined) return [];
    const bits = `0${(mode & 0o7777).toString(8)}`;
    return [{ path, type, major: Number(major), minor: Number(minor), mode: bits }];
  });
}
