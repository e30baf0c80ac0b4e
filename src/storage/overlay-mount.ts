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
  const { lowerDirs, upperDir, workDir, disk } = view;
  const [only] = lowerDirs;
  if (disk) return beside(disk, view, slot);
  if (upperDir === undefined && only !== undefined && lowerDirs.length === 1) {
    return [{ op: "open", path: only, flags: O.path | O.directory, to: slot }];
  }
  const opened: Operation[] = [];
  const option = (key: string, path: string): string => {
    if (fitsOption(path)) return `${key}=${path}`;
    const to = FIRST_SLOT + opened.length;
    if (to >= SLOTS) {
      const message = `Too many layers under a path as long as ${JSON.stringify(path)}`;
      throw new GantryError("not-implemented", `${message}: choose a shorter data root`);
    }
    opened.push({ op: "open", path, flags: O.path | O.directory, to });
    return `${key}=@${to}`;
  };
  const options = lowerOptions(lowerDirs, option);
  if (upperDir !== undefined) options.push(option("upperdir", upperDir));
  if (workDir !== undefined) options.push(option("workdir", workDir));
  if (view.volatile) options.push("volatile");
  // What a hostile upper folder says of other folders is not followed.
  options.push("redirect_dir=off", "metacopy=off");
  return [...opened, { op: "fsmount", fstype: "overlay", options, to: slot }];
}

/** All in one option where they fit, which every kernel knows; else one each (Linux 6.5). */
function lowerOptions(
  lowerDirs: readonly string[],
  option: (key: string, path: string) => string,
): string[] {
  const joined = lowerDirs.join(":");
  const plain = lowerDirs.every(fitsOption) && Buffer.byteLength(joined) <= OPTION_BYTES_MAX;
  if (plain) return [`lowerdir=${joined}`];
  return lowerDirs.map((dir) => option("lowerdir+", dir));
}

/** Before Linux 6.15 overlay takes no folders of a detached mount: the image is attached over the
 * folder that it lies in, in a mount namespace that lasts until the overlay has them. */
function beside(disk: DiskImage, { disk: _, ...view }: OverlayView, slot: number): Operation[] {
  const folder = dirname(disk.image);
  const place = (path: string): string =>
    path.startsWith(`${disk.image}/`) ? folder + path.slice(disk.image.length) : path;
  const { lowerDirs, upperDir, workDir } = view;
  const placed: OverlayView = {
    ...view,
    lowerDirs: lowerDirs.map(place),
    ...(upperDir !== undefined && { upperDir: place(upperDir) }),
    ...(workDir !== undefined && { workDir: place(workDir) }),
  };
  return [
    { op: "open", path: "/proc/self/ns/mnt", flags: O.rdonly, to: HOME },
    { op: "unshare", flags: CLONE_NEWNS },
    { op: "propagation", path: "/", flags: MS_REC_PRIVATE },
    mountDisk(disk, DISK),
    { op: "moveMount", slot: DISK, path: folder },
    ...mountOverlay(placed, slot),
    { op: "setns", slot: HOME, flags: CLONE_NEWNS },
  ];
}

/** The writable folder of a container in a slot. */
export function openUpper(
  { upperDir, disk }: { upperDir: string; disk?: DiskImage },
  to: number,
): Operation[] {
  if (disk) {
    const path = upperDir.slice(disk.image.length + 1);
    return [mountDisk(disk, DISK), { op: "open", root: DISK, path, flags: O.directory, to }];
  }
  return [{ op: "open", path: upperDir, flags: O.directory, to }];
}

function fitsOption(path: string): boolean {
  return Buffer.byteLength(path) <= OPTION_BYTES_MAX && !/[\\,:]/.test(path);
}
