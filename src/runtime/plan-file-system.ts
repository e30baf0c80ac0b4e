// Mounts that make a file system (proc, tmpfs, devpts, a disk's …) or change one that is mounted.
// All runs in the container half: they belong to the namespaces of the container. The new mount API
// is used; mount(2) only for what that has no words for.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciMount } from "../spec/index.ts";
import { MOUNT_ATTR, MS, O } from "./kernel-numbers.ts";
import {
  classicFlags,
  type MountOptions,
  remountAttributes,
  superblockFlags,
} from "./mount-options.ts";
import { SCRATCH, SLOT } from "./plan-builder.ts";

export interface FileSystemContext {
  mountLabel?: string;
}

/** fsconfig takes keys of less than 64 bytes and values of at most 255; mount(2) a page of both. */
const KEY_BYTES_MAX = 63;
const VALUE_BYTES_MAX = 255;
const DATA_BYTES_MAX = 4095;
/** They have labels of their own; that of queues is set when they are mounted. */
const UNLABELLED = new Set(["proc", "sysfs", "cgroup", "cgroup2", "mqueue"]);

const root = SLOT.rootfs;
const slot = SLOT.temporary;

/** A new file system at `path` beneath the root. */
export function fileSystemOperations(
  { mountLabel }: FileSystemContext,
  { type: fstype = "", source = fstype }: OciMount,
  { path, options }: { path: string; options: MountOptions },
): Operation[] {
  if (fstype === "") {
    throw new GantryError("invalid", `mount ${path} has neither type nor bind option`);
  }
  if (options.copyUp && fstype !== "tmpfs") {
    throw new GantryError("invalid", `mount ${path}: tmpcopyup is for tmpfs only`);
  }
  const data = fstype === "devpts" ? options.data.filter((o) => o !== "newinstance") : options.data;
  const all = labelled(data, fstype, mountLabel);
  if (fstype !== "tmpfs" && (classicFlags(options) !== 0 || !all.every(fits) || !fits(source))) {
    // Commas part its words: those of a label stand within quotes.
    const words = all.map((word, i) => (i < data.length ? word : word.replace(/=(.*)/, '="$1"')));
    return classicMount(fstype, source, { path, options, data: words });
  }
  const words = [...first(fstype, source), ...all, ...superblockFlags(options)];
  // A tmpfs becomes read-only when all is in it (planDev).
  const tmpfs = fstype === "tmpfs";
  if (options.readonly && !tmpfs) words.push("ro");
  const mask = tmpfs ? ~MOUNT_ATTR.RDONLY : ~0;
  const attr = options.set & mask;
  const like = tmpfs && !data.some((o) => o.startsWith("mode=")) ? { likeTarget: true } : {};
  return [
    ...(isKernels(fstype) ? openFolder(path) : []),
    ...(options.copyUp ? openTarget(path) : []),
    { op: "fsmount", fstype, options: words.map(escaped), attr, to: slot },
    ...(options.copyUp ? copyUp() : []),
    ...furtherAttributes(options, mask),
    ...(isKernels(fstype)
      ? intoFolder()
      : [{ op: "moveMount", slot, root, path, make: "dir", ...like } as const]),
    { op: "close", slot },
    ...(fstype === "mqueue" && mountLabel ? [label(path, mountLabel)] : []),
  ];
}

/** Shown by mountinfo; the first parameter of any file system. */
function first(fstype: string, source: string): string[] {
  const [, subtype] = /^[^.]+\.(.+)$/.exec(fstype) ?? [];
  return [...(source ? [`source=${source}`] : []), ...(subtype ? [`subtype=${subtype}`] : [])];
}

function labelled(data: readonly string[], fstype: string, mountLabel: string | undefined) {
  return mountLabel && !UNLABELLED.has(fstype) ? [...data, `context=${mountLabel}`] : data;
}

/** The kernel has made the queues' file system with their namespace: it takes no context then. */
function label(path: string, mountLabel: string): Operation {
  const value = new TextEncoder().encode(mountLabel);
  return { op: "setXattr", root, path, name: "security.selinux", value };
}

/** The tmpfs of a /dev that is made before there is a root, with further `data`. Throws invalid
 * for options that could have no effect there. */
export function tmpfsOptions(
  { destination, source = "" }: OciMount,
  options: MountOptions,
  o: { mountLabel?: string | undefined; data: readonly string[] },
): string[] {
  if (options.copyUp || options.idmap) {
    const option = options.copyUp ? "tmpcopyup" : "idmap";
    throw new GantryError(
      "invalid",
      `mount ${destination}: ${option} is not possible with a user namespace`,
    );
  }
  const words = [...first("tmpfs", source || "tmpfs"), ...options.data, ...o.data];
  return [...labelled(words, "tmpfs", o.mountLabel), ...superblockFlags(options)].map(escaped);
}

/** A value that begins with "@" would be a slot's number. */
const escaped = (option: string): string => option.replace(/^([^=]*=)@/, "$1@@");

function fits(option: string): boolean {
  const [key = "", ...value] = option.split("=");
  return (
    Buffer.byteLength(key) <= KEY_BYTES_MAX && Buffer.byteLength(value.join("=")) <= VALUE_BYTES_MAX
  );
}

const isKernels = (fstype: string): boolean => fstype === "proc" || fstype === "sysfs";

/** A symlink there would lead the kernel's interfaces, and their masks, somewhere else. The folder
 * is held until they are in it: others who have the root file system may change names meanwhile
 * (CVE-2019-19921). */
function openFolder(path: string): Operation[] {
  const flags = O.PATH | O.DIRECTORY | O.NOFOLLOW;
  return [
    { op: "mkdirs", root, path, mode: 0o755 },
    { op: "open", root, path, flags, to: SCRATCH[0] },
  ];
}

function intoFolder(): Operation[] {
  const [folder] = SCRATCH;
  return [
    { op: "moveMount", slot, root: folder, path: "" },
    { op: "close", slot: folder },
  ];
}

function openTarget(path: string): Operation[] {
  return [
    { op: "mkdirs", root, path, mode: 0o755 },
    { op: "open", root, path, flags: O.PATH | O.DIRECTORY, to: SCRATCH[0] },
  ];
}

/** What is in the folder comes into the tmpfs before that covers it. */
function copyUp(): Operation[] {
  const [from] = SCRATCH;
  return [
    { op: "copyTree", fromRoot: from, from: "/", toRoot: slot, to: "/" },
    { op: "close", slot: from },
  ];
}

function furtherAttributes(options: MountOptions, mask: number): Operation[] {
  const operations: Operation[] = [];
  const set = options.recursiveSet & mask;
  const clear = options.recursiveClear;
  if (set !== 0 || clear !== 0) operations.push({ op: "mountAttr", slot, set, clear });
  operations.push(...propagationOperations(options));
  return operations;
}

/** Of the mount in the temporary slot. */
function propagationOperations({ propagations }: MountOptions): Operation[] {
  return propagations.map(({ type, recursive }) => {
    return { op: "mountAttr", slot, propagation: type, recursive };
  });
}

const SUPERBLOCK_FLAGS: Readonly<Record<string, number>> = {
  sync: MS.SYNCHRONOUS,
  dirsync: MS.DIRSYNC,
  lazytime: MS.LAZYTIME,
  mand: MS.MANDLOCK,
};

/** mount(2) at a target that is held open; attributes follow as for any mount. */
function classicMount(
  fstype: string,
  source: string,
  o: { path: string; options: MountOptions; data: readonly string[] },
): Operation[] {
  const { path, options } = o;
  const data = o.data.join(",");
  if (Buffer.byteLength(data) > DATA_BYTES_MAX) {
    throw new GantryError("invalid", `mount ${path}: options of more than ${DATA_BYTES_MAX} bytes`);
  }
  let flags = classicFlags(options) | (options.readonly ? MOUNT_ATTR.RDONLY : 0);
  for (const flag of superblockFlags(options)) flags |= SUPERBLOCK_FLAGS[flag] ?? 0;
  return [
    { op: "mount", source, path, fstype, flags, data, root },
    { op: "open", root, path, flags: O.PATH, to: slot },
    { op: "mountAttr", slot, set: options.set, clear: options.clear },
    ...furtherAttributes(options, ~0),
    { op: "close", slot },
  ];
}

const OFF: Readonly<Record<string, string>> = {
  sync: "async",
  lazytime: "nolazytime",
  mand: "nomand",
};

/** "remount": the attributes of the mount at `path`, and without "bind" its file system's too. */
export function remountOperations(path: string, options: MountOptions): Operation[] {
  const { bind, superblock, data } = options;
  const off = [...superblock].filter(([flag, on]) => !on && flag in OFF);
  const words = [
    ...data.map(escaped),
    ...superblockFlags(options),
    ...off.map(([flag]) => OFF[flag] ?? flag),
    options.readonly ? "ro" : "rw",
  ];
  return [
    ...(bind ? [] : [{ op: "remount", root, path, options: words } as const]),
    { op: "open", root, path, flags: O.PATH, to: slot },
    { op: "mountAttr", slot, ...remountAttributes(options) },
    ...furtherAttributes(options, ~0),
    { op: "close", slot },
  ];
}
