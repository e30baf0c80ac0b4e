// Detached overlay mounts for storage's own plans: the merged view that an init layer is made in,
// that diff compares with, and that cp enters. The runtime mounts the roots of containers itself.

import { dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { DiskImage } from "../spec/index.ts";
import { O } from "./archive-flags.ts";
import { mountDisk } from "./quota.ts";

/** The kernel takes at most 255 bytes of text for one option. */
const OPTION_BYTES_MAX = 255;
/** Slots from here on hold folders whose path does not fit; a plan has 64. */
const FIRST_SLOT = 8;
const SLOTS = 64;

export interface OverlayView {
  /** Top first. */
  lowerDirs: readonly string[];
  upperDir?: string;
  workDir?: string;
  volatile?: boolean;
  /** Where paths beneath `disk.image` are. */
  disk?: DiskImage;
}
/** Slot of a mounted disk image. */
const DISK = 7;
/** Slot of the mount namespace that the plan began in. */
const HOME = 6;
const CLONE_NEWNS = 0x20000;
const MS_REC_PRIVATE = 0x4000 | 0x40000;

/** The operations that put the mount into `slot`. Without an upper folder it is read-only, and a
 * single lower folder is opened as it is, since overlay wants two at least. */
export function mountOverlay(view: OverlayView, slot: number): Operation[] {
  const { lowerDirs, upperDir, workDir } = view;
  const { disk } = view;
  const [only] = lowerDirs;
  if (disk && only && isOnDisk(disk, only) && upperDir === undefined && lowerDirs.length === 1) {
    return openOnDisk(disk, only, slot);
  }
  if (upperDir === undefined && only !== undefined && lowerDirs.length === 1) {
    return [{ op: "open", path: only, flags: O.path | O.directory, to: slot }];
  }
  const opened: Operation[] = [];
  const option = (key: string, path: string): string => {
    const onDisk = disk !== undefined && isOnDisk(disk, path);
    if (!onDisk && fitsOption(path)) return `${key}=${path}`;
    const to = FIRST_SLOT + opened.length;
    if (to >= SLOTS) {
      const message = `Too many layers under a path as long as ${JSON.stringify(path)}`;
      throw new GantryError("not-implemented", `${message}: choose a shorter data root`);
    }
    const flags = O.path | O.directory;
    if (onDisk) opened.push({ op: "open", root: DISK, path: pathOnDisk(disk, path), flags, to });
    else opened.push({ op: "open", path, flags, to });
    return `${key}=@${to}`;
  };
  const plain = lowerDirs.every((dir) => fitsOption(dir) && !(disk && isOnDisk(disk, dir)));
  const options = lowerOptions(lowerDirs, plain, option);
  if (upperDir !== undefined) options.push(option("upperdir", upperDir));
  if (workDir !== undefined) options.push(option("workdir", workDir));
  if (view.volatile) options.push("volatile");
  // What a hostile upper folder says of other folders is not followed.
  options.push("redirect_dir=off", "metacopy=off");
  const mount: Operation[] = [...opened, { op: "fsmount", fstype: "overlay", options, to: slot }];
  return disk ? besideDisk(disk, mount) : mount;
}

/** All in one option where they fit, which every kernel knows; else one each (Linux 6.5). */
function lowerOptions(
  lowerDirs: readonly string[],
  plain: boolean,
  option: (key: string, path: string) => string,
): string[] {
  const joined = lowerDirs.join(":");
  if (plain && Buffer.byteLength(joined) <= OPTION_BYTES_MAX) return [`lowerdir=${joined}`];
  return lowerDirs.map((dir) => option("lowerdir+", dir));
}

/** Before Linux 6.15 overlay takes no folders of a detached mount: it is attached in a mount
 * namespace that lasts until the overlay has them. */
function besideDisk(disk: DiskImage, mount: readonly Operation[]): Operation[] {
  return [
    { op: "open", path: "/proc/self/ns/mnt", flags: O.rdonly, to: HOME },
    { op: "unshare", flags: CLONE_NEWNS },
    { op: "propagation", path: "/", flags: MS_REC_PRIVATE },
    mountDisk(disk, DISK),
    { op: "moveMount", slot: DISK, path: dirname(disk.image) },
    ...mount,
    { op: "setns", slot: HOME, flags: CLONE_NEWNS },
  ];
}

const isOnDisk = ({ image }: DiskImage, path: string): boolean => path.startsWith(`${image}/`);
const pathOnDisk = ({ image }: DiskImage, path: string): string => path.slice(image.length + 1);

function openOnDisk(disk: DiskImage, path: string, to: number): Operation[] {
  const root = DISK;
  return [
    mountDisk(disk, DISK),
    { op: "open", root, path: pathOnDisk(disk, path), flags: O.directory, to },
  ];
}

/** The writable folder of a container in a slot. */
export function openUpper(
  { upperDir, disk }: { upperDir: string; disk?: DiskImage },
  to: number,
): Operation[] {
  if (disk) return openOnDisk(disk, upperDir, to);
  return [{ op: "open", path: upperDir, flags: O.directory, to }];
}

function fitsOption(path: string): boolean {
  return Buffer.byteLength(path) <= OPTION_BYTES_MAX && !/[\\,:]/.test(path);
}
