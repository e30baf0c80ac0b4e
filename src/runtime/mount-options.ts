// fstab-style mount options (OCI config.md "mounts") to the terms of the kernel's new mount API:
// attributes of the mount, flags and parameters of the file system, and propagation.

import { GantryError } from "../base/index.ts";
import { MOUNT_ATTR, MS } from "./kernel-numbers.ts";

export interface MountOptions {
  bind: boolean;
  recursiveBind: boolean;
  /** Attributes to set and clear on the mount itself. */
  set: number;
  clear: number;
  /** The same for the mount and all below it (rro, rnosuid …). */
  recursiveSet: number;
  recursiveClear: number;
  /** One MS_* propagation type, and whether it goes all the way down. */
  propagation?: { type: number; recursive: boolean };
  idmap?: { recursive: boolean };
  /** Flags and parameters of the file system: "ro", "size=64m". */
  data: string[];
  copyUp: boolean;
  readonly: boolean;
}

const A = MOUNT_ATTR;
/** name → [set, clear]. Times are exclusive: each clears the other two. */
const ATTRIBUTES: Readonly<Record<string, readonly [number, number]>> = {
  ro: [A.RDONLY, 0],
  rw: [0, A.RDONLY],
  nosuid: [A.NOSUID, 0],
  suid: [0, A.NOSUID],
  nodev: [A.NODEV, 0],
  dev: [0, A.NODEV],
  noexec: [A.NOEXEC, 0],
  exec: [0, A.NOEXEC],
  nodiratime: [A.NODIRATIME, 0],
  diratime: [0, A.NODIRATIME],
  nosymfollow: [A.NOSYMFOLLOW, 0],
  symfollow: [0, A.NOSYMFOLLOW],
  noatime: [A.NOATIME, A.ATIME_MASK],
  strictatime: [A.STRICTATIME, A.ATIME_MASK],
  relatime: [0, A.ATIME_MASK],
  atime: [0, A.ATIME_MASK],
  norelatime: [0, 0],
  nostrictatime: [0, A.ATIME_MASK],
};
const PROPAGATION: Readonly<Record<string, number>> = {
  private: MS.PRIVATE,
  shared: MS.SHARED,
  slave: MS.SLAVE,
  unbindable: MS.UNBINDABLE,
};
/** Flags of a superblock, not of a mount; the opposite of each is the kernel's default. */
const SUPERBLOCK = new Set(["sync", "dirsync", "lazytime", "mand", "iversion", "silent"]);
const DEFAULTS = new Set(["defaults", "async", "nolazytime", "nomand", "noiversion", "loud"]);

/** Every option that is more than a word for the file system, as `features` of a runtime lists. */
export function mountOptionNames(): string[] {
  const both = [...Object.keys(ATTRIBUTES), ...Object.keys(PROPAGATION)];
  const recursive = both.map((name) => `r${name}`);
  const others = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup"];
  return [...both, ...recursive, ...SUPERBLOCK, ...DEFAULTS, ...others].sort();
}

/** Parses options; what is not known belongs to the file system. */
export function parseMountOptions(options: readonly string[] = []): MountOptions {
  const result: MountOptions = {
    bind: false,
    recursiveBind: false,
    set: 0,
    clear: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    data: [],
    copyUp: false,
    readonly: false,
  };
  for (const option of options) applyOption(result, option);
  if ((result.recursiveSet & A.RDONLY) !== 0) result.readonly = true;
  return result;
}

function applyOption(result: MountOptions, option: string): void {
  const attribute = ATTRIBUTES[option];
  if (attribute !== undefined) {
    const [set, clear] = attribute;
    result.set = (result.set & ~clear) | set;
    result.clear = (result.clear & ~set) | clear;
    if (option === "ro" || option === "rw") result.readonly = option === "ro";
    return;
  }
  const recursive = option.startsWith("r") ? ATTRIBUTES[option.slice(1)] : undefined;
  if (recursive !== undefined) {
    const [set, clear] = recursive;
    result.recursiveSet = (result.recursiveSet & ~clear) | set;
    result.recursiveClear = (result.recursiveClear & ~set) | clear;
    return;
  }
  const plain = PROPAGATION[option];
  const deep = option.startsWith("r") ? PROPAGATION[option.slice(1)] : undefined;
  if (plain !== undefined) result.propagation = { type: plain, recursive: false };
  else if (deep !== undefined) result.propagation = { type: deep, recursive: true };
  else if (option === "bind" || option === "rbind") {
    result.bind = true;
    result.recursiveBind = option === "rbind";
  } else if (option === "idmap" || option === "ridmap") {
    result.idmap = { recursive: option === "ridmap" };
  } else if (option === "tmpcopyup") result.copyUp = true;
  else if (option === "remount") {
    throw new GantryError("invalid", `mount option "remount" is not supported`);
  } else if (SUPERBLOCK.has(option)) result.data.push(option);
  else if (!DEFAULTS.has(option)) result.data.push(option);
}
