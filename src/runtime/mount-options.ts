// fstab-style mount options (OCI config.md "mounts") to the terms of the kernel's new mount API:
// attributes of the mount, flags and parameters of the file system, and propagation. What is not
// known belongs to the file system, which refuses what it does not know.

import { MOUNT_ATTR, MS } from "./kernel-numbers.ts";

export interface Propagation {
  /** MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE. */
  type: number;
  recursive: boolean;
}

export interface MountOptions {
  bind: boolean;
  recursiveBind: boolean;
  /** What is mounted there already is changed. */
  remount: boolean;
  /** Attributes to set and clear on the mount itself. */
  set: number;
  clear: number;
  /** The same for the mount and all below it (rro, rnosuid …). */
  recursiveSet: number;
  recursiveClear: number;
  /** In the order in which they are applied. */
  propagations: Propagation[];
  idmap?: { recursive: boolean };
  /** Parameters of the file system ("size=64m"), split at commas as mount(2) does. */
  data: string[];
  /** Flags of the superblock, on or off. */
  superblock: Map<string, boolean>;
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
/** Flags of a superblock, not of a mount: word → [flag, on]. */
const SUPERBLOCK: Readonly<Record<string, readonly [string, boolean]>> = {
  sync: ["sync", true],
  async: ["sync", false],
  dirsync: ["dirsync", true],
  lazytime: ["lazytime", true],
  nolazytime: ["lazytime", false],
  mand: ["mand", true],
  nomand: ["mand", false],
  iversion: ["iversion", true],
  noiversion: ["iversion", false],
  silent: ["silent", true],
  loud: ["silent", false],
};
/** Those that only mount(2) has a word for. */
const CLASSIC: Readonly<Record<string, number>> = { iversion: MS.I_VERSION, silent: MS.SILENT };
const OTHERS = ["bind", "rbind", "remount", "defaults", "idmap", "ridmap", "tmpcopyup"];

/** Every option that is more than a word for the file system, as `features` of a runtime lists. */
export function mountOptionNames(): string[] {
  const both = [...Object.keys(ATTRIBUTES), ...Object.keys(PROPAGATION)];
  const recursive = both.map((name) => `r${name}`);
  return [...both, ...recursive, ...Object.keys(SUPERBLOCK), ...OTHERS].sort();
}

/** Parses options; what is not known belongs to the file system. */
export function parseMountOptions(options: readonly string[] = []): MountOptions {
  const result: MountOptions = {
    bind: false,
    recursiveBind: false,
    remount: false,
    set: 0,
    clear: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    propagations: [],
    data: [],
    superblock: new Map(),
    copyUp: false,
    readonly: false,
  };
  for (const option of options) applyOption(result, option);
  if ((result.recursiveSet & A.RDONLY) !== 0) result.readonly = true;
  return result;
}

const own = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

function applyOption(result: MountOptions, option: string): void {
  const attribute = own(ATTRIBUTES, option);
  if (attribute !== undefined) {
    const [set, clear] = attribute;
    result.set = (result.set & ~clear) | set;
    result.clear = (result.clear & ~set) | clear;
    if (option === "ro" || option === "rw") result.readonly = option === "ro";
    return;
  }
  const deep = option.startsWith("r") ? option.slice(1) : "";
  const recursive = own(ATTRIBUTES, deep);
  if (recursive !== undefined) {
    const [set, clear] = recursive;
    result.recursiveSet = (result.recursiveSet & ~clear) | set;
    result.recursiveClear = (result.recursiveClear & ~set) | clear;
    return;
  }
  const type = own(PROPAGATION, option) ?? own(PROPAGATION, deep);
  const flag = own(SUPERBLOCK, option);
  if (type !== undefined) {
    result.propagations.push({ type, recursive: own(PROPAGATION, option) === undefined });
  } else if (flag !== undefined) result.superblock.set(...flag);
  else applyOther(result, option);
}

function applyOther(result: MountOptions, option: string): void {
  if (option === "bind" || option === "rbind") {
    result.bind = true;
    result.recursiveBind = option === "rbind";
  } else if (option === "idmap" || option === "ridmap") {
    result.idmap = { recursive: option === "ridmap" };
  } else if (option === "tmpcopyup") result.copyUp = true;
  else if (option === "remount") result.remount = true;
  else if (option !== "" && option !== "defaults") result.data.push(...splitData(option));
}

/** Commas part options, unless a backslash stands before them (overlay's lists of layers). */
const splitData = (option: string): string[] =>
  option.includes(",") ? option.split(/(?<!\\),/).filter((part) => part !== "") : [option];

/** The superblock's flags that are on, for fsconfig. */
export function superblockFlags({ superblock }: MountOptions): string[] {
  return [...superblock].filter(([flag, on]) => on && !(flag in CLASSIC)).map(([flag]) => flag);
}

/** MS_* flags of mount(2) that nothing else can say; 0: the new API does. */
export function classicFlags({ superblock }: MountOptions): number {
  const on = [...superblock].filter(([, value]) => value);
  return on.reduce((flags, [flag]) => flags | (CLASSIC[flag] ?? 0), 0);
}

/** All attributes at once, as a remount sets them: what is not named is cleared, but for times. */
export function remountAttributes(options: MountOptions): { set: number; clear: number } {
  const { set, clear } = options;
  const all = A.RDONLY | A.NOSUID | A.NODEV | A.NOEXEC | A.NODIRATIME | A.NOSYMFOLLOW;
  return { set, clear: (all & ~set) | (clear & A.ATIME_MASK) };
}
