// /dev of a container: the nodes of the runtime-spec's "Default Devices", those of the spec, and
// the usual links. Where mknod is not possible (a user namespace) the host's nodes are bound.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciDevice } from "../spec/index.ts";
import { checkId } from "./id-maps.ts";
import { MS, S_IFBLK, S_IFCHR, S_IFIFO } from "./kernel-numbers.ts";
import { type PlanBuilder, SLOT } from "./plan-builder.ts";

const DEFAULT_DEVICES: readonly OciDevice[] = [
  { path: "/dev/null", type: "c", major: 1, minor: 3 },
  { path: "/dev/zero", type: "c", major: 1, minor: 5 },
  { path: "/dev/full", type: "c", major: 1, minor: 7 },
  { path: "/dev/random", type: "c", major: 1, minor: 8 },
  { path: "/dev/urandom", type: "c", major: 1, minor: 9 },
  { path: "/dev/tty", type: "c", major: 5, minor: 0 },
];
/** dev_t of Linux: 12 and 20 bits. */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xf_ffff;
const LINKS: readonly [path: string, target: string][] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/core", "/proc/kcore"],
  ["/dev/ptmx", "pts/ptmx"],
];

/** The devices of the spec, and the default ones that it does not name. */
export function allDevices(devices: readonly OciDevice[] = []): OciDevice[] {
  const named = new Set(devices.map(({ path }) => path));
  return [...DEFAULT_DEVICES.filter(({ path }) => !named.has(path)), ...devices];
}

/** Returns the slots of host nodes to bind, by path, for planDevices. Only in user namespaces. */
export function planDeviceSources(
  builder: PlanBuilder,
  devices: readonly OciDevice[],
): Map<string, number> {
  const slots = new Map<string, number>();
  // A FIFO is no device: anyone may make one.
  for (const device of devices.filter(({ type }) => type !== "p")) {
    refuseOwner(device);
    const slot = builder.allocate(device.path);
    slots.set(device.path, slot);
    const { mode, major, minor } = nodeOf(device);
    builder.host.push(
      { op: "openTree", path: device.path, to: slot },
      { op: "assertDevice", slot, mode: mode & 0o170000, major, minor },
      { op: "mountAttr", slot, propagation: MS.PRIVATE },
    );
  }
  return slots;
}

/** The host's node has the mode and the owner that it has. */
function refuseOwner({ path, fileMode, uid, gid }: OciDevice): void {
  if (fileMode === undefined && uid === undefined && gid === undefined) return;
  throw new GantryError(
    "invalid",
    `${path}: fileMode, uid and gid are for devices beneath a /dev of type tmpfs where there is ` +
      "a user namespace",
  );
}

/** `fresh`: nothing is in /dev yet; otherwise a node of the image is taken when it is the same. */
export function planDevices(
  devices: readonly OciDevice[],
  sources: ReadonlyMap<string, number> | undefined,
  { fresh }: { fresh: boolean },
): Operation[] {
  const operations: Operation[] = [];
  const root = SLOT.rootfs;
  for (const device of devices) {
    const slot = sources?.get(device.path);
    if (slot !== undefined) {
      operations.push(
        { op: "moveMount", slot, root, path: device.path, make: "file" },
        { op: "close", slot },
      );
      continue;
    }
    const parent = device.path.slice(0, device.path.lastIndexOf("/"));
    if (parent !== "/dev") operations.push({ op: "mkdirs", root, path: parent, mode: 0o755 });
    const node = nodeOf(device);
    const { path } = device;
    operations.push({ op: "mknod", root, path, ...node, ...(!fresh && { sameOk: true }) });
    if (!fresh) operations.push({ op: "chmod", root, path, mode: node.mode & 0o7777 });
    if (device.uid || device.gid || !fresh) {
      const { uid = 0, gid = 0 } = device;
      operations.push({ op: "chown", root, path: device.path, uid, gid, nofollow: true });
    }
  }
  return operations;
}

/** /dev/core leads to /proc/kcore where the kernel has that, as with runc. */
export function planDeviceLinks(fresh: boolean, kcore = true): Operation[] {
  const root = SLOT.rootfs;
  const wanted = LINKS.filter(([path]) => kcore || path !== "/dev/core");
  const links = wanted.map(([path, target]): Operation => {
    return { op: "symlink", root, target, path, existOk: true };
  });
  // An image's own would be of whatever devpts is the first of the host's.
  return fresh ? links : [{ op: "unlink", root, path: "/dev/ptmx", missingOk: true }, ...links];
}

const isWithin = (value: number, max: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= max;

export function nodeOf(device: OciDevice): { mode: number; major: number; minor: number } {
  const kinds: Record<string, number> = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO };
  const kind = Object.hasOwn(kinds, device.type) ? kinds[device.type] : undefined;
  if (kind === undefined) {
    throw new GantryError("invalid", `${device.path}: unknown device type ${device.type}`);
  }
  if (!device.path.startsWith("/")) {
    throw new GantryError("invalid", `the path of device ${device.path} is not absolute`);
  }
  if (kind !== S_IFIFO && (device.major === undefined || device.minor === undefined)) {
    throw new GantryError("invalid", `${device.path}: a device needs major and minor`);
  }
  const { path, major = 0, minor = 0, uid = 0, gid = 0 } = device;
  // What is cut off on the way to the kernel would be another device's number.
  if (!isWithin(major, MAJOR_MAX) || !isWithin(minor, MINOR_MAX)) {
    throw new GantryError("invalid", `${path}: there is no device ${major}:${minor}`);
  }
  checkId(uid, `${path}: uid`);
  checkId(gid, `${path}: gid`);
  return { mode: kind | ((device.fileMode ?? 0o666) & 0o7777), major, minor };
}

/** A descriptor of the host's /dev/null, verified: stdin of containers without one, and the cover
 * of masked files. */
export function planDevNull(): Operation[] {
  return [{ op: "devNull", to: SLOT.devNull }];
}
