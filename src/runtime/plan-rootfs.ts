// The root file system of a container as a mount in SLOT.rootfs. Where the kernel takes overlay's
// layers one by one (lowerdir+, Linux 6.5), it is made detached in the host half. Older kernels
// take one string of at most 255 bytes there; a longer list of layers goes through mount(2),
// relative to the folder that holds the layers, in the container's own mount namespace.

import { dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { DiskImage, RootfsMount } from "../spec/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { CLONE, MS, O } from "./kernel-numbers.ts";
import { type PlanBuilder, SLOT } from "./plan-builder.ts";
import { idMappedOverlay } from "./plan-userns.ts";

/** The new mount API takes strings of at most 255 bytes. */
const FSCONFIG_VALUE_MAX = 255;
/** mount(2) takes a page. */
const MOUNT_DATA_MAX = 4095;

type Overlay = Extract<RootfsMount, { kind: "overlay" }>;

/** Adds to the host half; returns what the container half does to have the root over its "/". */
export function planRootfs(
  builder: PlanBuilder,
  rootfs: RootfsMount,
  kernel: KernelFeatures,
  propagation = "",
): Operation[] {
  const attach: Operation = { op: "moveMount", slot: SLOT.rootfs, path: "/" };
  if (rootfs.kind === "bind") {
    builder.host.push(
      { op: "openTree", path: rootfs.path, recursive: true, to: SLOT.rootfs },
      // What is mounted on the host appears in a slave too; "shared" begins after pivot_root.
      {
        op: "mountAttr",
        slot: SLOT.rootfs,
        propagation: /^r?slave$/.test(propagation) ? MS.SLAVE : MS.PRIVATE,
        recursive: true,
      },
    );
    return [attach];
  }
  const whole = rootfs.disk ?? rootfs.idMaps;
  if (whole || kernel.overlayLowerdirAppend || fitsStrings(rootfs)) {
    builder.host.push(...overlayOperations(builder, rootfs, { kernel, to: SLOT.rootfs }));
    return [attach];
  }
  return longOverlay(rootfs);
}

/** An overlay as a detached mount. Throws not-implemented where the kernel is too old for it. */
export function overlayOperations(
  builder: PlanBuilder,
  rootfs: Overlay,
  { kernel, to }: { kernel: KernelFeatures; to: number },
): Operation[] {
  const { idMaps } = rootfs;
  if (idMaps) return idMappedOverlay(builder, { ...rootfs, idMaps }, { kernel, to });
  if (rootfs.disk) return onDisk(builder, rootfs, rootfs.disk, { kernel, to });
  if (kernel.overlayLowerdirAppend) return layersOneByOne(builder, rootfs, to);
  if (!fitsStrings(rootfs)) throw tooManyLayers(rootfs);
  return [{ op: "fsmount", fstype: "overlay", options: overlayStrings(rootfs), to }];
}

/** Before Linux 6.15 overlay takes no folders of a detached mount: the image of a limited root is
 * attached over the folder that it lies in, in a mount namespace that lasts until the overlay has
 * its folders. */
function onDisk(
  builder: PlanBuilder,
  { disk: _, ...rootfs }: Overlay,
  { image, fstype, options }: DiskImage,
  { kernel, to }: { kernel: KernelFeatures; to: number },
): Operation[] {
  const slots = ["namespace", "disk"].map((what) => builder.allocate(`${what} for ${image}`));
  const [home = 0, disk = 0] = slots;
  const folder = dirname(image);
  const overlay = { ...rootfs, upperDir: `${folder}/fs`, workDir: `${folder}/work` };
  const operations: Operation[] = [
    { op: "open", path: "/proc/self/ns/mnt", flags: O.RDONLY, to: home },
    { op: "unshare", flags: CLONE.NEWNS },
    { op: "propagation", path: "/", flags: MS.REC | MS.PRIVATE },
    { op: "mountImage", path: image, fstype, options, to: disk },
    { op: "moveMount", slot: disk, path: folder },
    ...overlayOperations(builder, overlay, { kernel, to }),
    { op: "setns", slot: home, flags: CLONE.NEWNS },
    ...slots.map((slot): Operation => ({ op: "close", slot })),
  ];
  for (const slot of slots) builder.free(slot);
  return operations;
}

/** In a mount namespace of the plan's own, where a long list of layers can be mounted over the
 * upper folder. */
export function plainOverlay(
  builder: PlanBuilder,
  rootfs: Overlay,
  { kernel, to }: { kernel: KernelFeatures; to: number },
): Operation[] {
  if (kernel.overlayLowerdirAppend || fitsStrings(rootfs)) {
    return overlayOperations(builder, rootfs, { kernel, to });
  }
  const mount = longOverlay(rootfs).slice(0, -1);
  return [...mount, { op: "openTree", path: rootfs.upperDir, to }];
}

function overlayStrings({ lowerDirs, upperDir, workDir, ...rest }: Overlay): string[] {
  const all = [`lowerdir=${lowerDirs.join(":")}`, `upperdir=${upperDir}`, `workdir=${workDir}`];
  return [...all, ...furtherOptions(rest)];
}

function furtherOptions({ volatile, mountLabel }: Pick<Overlay, "volatile" | "mountLabel">) {
  return [...(volatile ? ["volatile"] : []), ...(mountLabel ? [`context=${mountLabel}`] : [])];
}

function fitsStrings(rootfs: Overlay): boolean {
  const fits = (option: string) => {
    const value = option.slice(option.indexOf("=") + 1);
    return Buffer.byteLength(value) <= FSCONFIG_VALUE_MAX && !/[\\,]/.test(value);
  };
  const { mountLabel: _, ...folders } = rootfs;
  return (
    !rootfs.lowerDirs.some((path) => path.includes(":")) && overlayStrings(folders).every(fits)
  );
}

function layersOneByOne(
  builder: PlanBuilder,
  { lowerDirs, upperDir, workDir, ...rest }: Overlay,
  to: number,
): Operation[] {
  const operations: Operation[] = [];
  const options: string[] = [];
  const held: number[] = [];
  // A path that fsconfig does not take as a string goes as a descriptor of the folder.
  const add = (key: string, path: string) => {
    if (Buffer.byteLength(path) <= FSCONFIG_VALUE_MAX && !/[\\,:]/.test(path)) {
      options.push(`${key}=${path}`);
      return;
    }
    const slot = builder.allocate(`the layer ${path}`);
    held.push(slot);
    const flags = O.PATH | O.DIRECTORY;
    operations.push({ op: "open", path, flags, to: slot });
    options.push(`${key}=@${slot}`);
  };
  for (const path of lowerDirs) add("lowerdir+", path);
  add("upperdir", upperDir);
  add("workdir", workDir);
  options.push(...furtherOptions(rest));
  operations.push({ op: "fsmount", fstype: "overlay", options, to });
  for (const slot of held) {
    operations.push({ op: "close", slot });
    builder.free(slot);
  }
  return operations;
}

/** Mounted over the upper folder, which nobody else sees: the mount namespace is the container's
 * own. What matters is the descriptor of the new root. */
function longOverlay(rootfs: Overlay): Operation[] {
  const { lowerDirs, upperDir, workDir, volatile, mountLabel } = rootfs;
  const parent = commonFolder(lowerDirs);
  const escaped = (path: string) => path.replace(/[\\,:]/g, "\\$&");
  const lower = lowerDirs.map((path) => escaped(path.slice(parent.length + 1))).join(":");
  const words = [`lowerdir=${lower}`, `upperdir=${escaped(upperDir)}`];
  words.push(`workdir=${escaped(workDir)}`);
  if (volatile) words.push("volatile");
  // Its categories have a comma between them.
  if (mountLabel) words.push(`context="${mountLabel}"`);
  const data = words.join(",");
  if (Buffer.byteLength(data) > MOUNT_DATA_MAX) throw tooManyLayers(rootfs);
  return [
    { op: "chdir", path: parent || "/" },
    { op: "mount", source: "overlay", path: upperDir, fstype: "overlay", data },
    { op: "chdir", path: "/" },
    { op: "open", path: upperDir, flags: O.PATH, to: SLOT.rootfs },
  ];
}

const tooManyLayers = ({ lowerDirs }: Overlay): GantryError =>
  new GantryError(
    "not-implemented",
    `an image of ${lowerDirs.length} layers needs overlay's lowerdir+ (Linux 6.5 or newer)`,
  );

/** The deepest folder that holds all paths, "" for the root. */
function commonFolder(paths: readonly string[]): string {
  const split = paths.map((path) => path.split("/").slice(0, -1));
  const [first = [], ...rest] = split;
  let depth = first.length;
  for (const other of rest) {
    let same = 0;
    while (same < depth && first[same] === other[same]) same++;
    depth = same;
  }
  return first.slice(0, depth).join("/");
}
