// What a container of a user namespace has that its own root could not make: an overlay over
// id-mapped layers and /dev with its nodes. The kernel translates ids where layers are read and
// written, so that nothing is ever chowned and containers of different ranges share them.
//
// An overlay cannot be id-mapped itself; its layers can (Linux 5.19). It takes them from the mount
// namespace that it is mounted in (until 6.15), so one is made in which the folders of the layers
// lie under mapped clones of themselves, and left again. Overlay makes files under the ids of
// whoever mounts it, which the map must know.

import { dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { IdMaps, OciDevice, OciMount, RootfsMount } from "../spec/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { hostIdOf, idMapText } from "./id-maps.ts";
import { CLONE, MOUNT_ATTR, MS, O } from "./kernel-numbers.ts";
import { parseMountOptions } from "./mount-options.ts";
import { type PlanBuilder, SCRATCH } from "./plan-builder.ts";
import { nodeOf } from "./plan-devices.ts";
import { tmpfsOptions } from "./plan-file-system.ts";
import { plainOverlay } from "./plan-rootfs.ts";

type Overlay = Extract<RootfsMount, { kind: "overlay" }>;

const made = new WeakMap<PlanBuilder, Map<string, number>>();

/** A user namespace of these maps in a slot: one a plan, however often it is asked for, while there
 * are slots; otherwise one for this once, which `done` closes. */
export function mapSlot(
  builder: PlanBuilder,
  maps: IdMaps,
): { slot: number; make: Operation[]; done: Operation[] } {
  const uidMap = idMapText(maps.uid);
  const gidMap = idMapText(maps.gid);
  const known = made.get(builder) ?? new Map<string, number>();
  made.set(builder, known);
  const key = `${uidMap}\n${gidMap}`;
  const there = known.get(key);
  if (there !== undefined) return { slot: there, make: [], done: [] };
  const free = builder.tryAllocate();
  if (free !== undefined) known.set(key, free);
  const slot = free ?? SCRATCH[1];
  return {
    slot,
    make: [{ op: "makeUserns", uidMap, gidMap, to: slot }],
    done: free === undefined ? [{ op: "close", slot }] : [],
  };
}

/** As overlayOperations, with every layer id-mapped. */
export function idMappedOverlay(
  builder: PlanBuilder,
  { idMaps, ...rootfs }: Overlay & { idMaps: IdMaps },
  { kernel, to }: { kernel: KernelFeatures; to: number },
): Operation[] {
  if (!kernel.idmappedOverlay) {
    throw new GantryError(
      "not-implemented",
      "user namespaces need overlays over id-mapped layers (Linux 5.19 or newer)",
    );
  }
  const { slot: users, make, done } = mapSlot(builder, idMaps);
  const home = builder.allocate("the host's mounts");
  const [clone] = SCRATCH;
  const mapped = (path: string): Operation[] => [
    { op: "openTree", path, to: clone },
    { op: "mountAttr", slot: clone, userns: users, of: path },
    { op: "moveMount", slot: clone, path },
    { op: "close", slot: clone },
  ];
  const { disk, ...overlay } = rootfs;
  const folder = disk ? dirname(disk.image) : "";
  const placed = disk
    ? { ...overlay, upperDir: `${folder}/fs`, workDir: `${folder}/work` }
    : overlay;
  const operations: Operation[] = [
    ...make,
    { op: "open", path: "/proc/self/ns/mnt", flags: O.RDONLY, to: home },
    { op: "unshare", flags: CLONE.NEWNS },
    { op: "propagation", path: "/", flags: MS.REC | MS.PRIVATE },
    ...layerFolders(placed, disk === undefined).flatMap(mapped),
  ];
  if (disk) {
    const { image, fstype, options } = disk;
    operations.push(
      { op: "mountImage", path: image, fstype, options, to: clone },
      { op: "mountAttr", slot: clone, userns: users, of: image },
      { op: "moveMount", slot: clone, path: folder },
      { op: "close", slot: clone },
    );
  }
  operations.push(
    fileIds(idMaps),
    ...plainOverlay(builder, placed, { kernel, to }),
    OWN_IDS,
    { op: "setns", slot: home, flags: CLONE.NEWNS },
    { op: "close", slot: home },
    ...done,
  );
  builder.free(home);
  return operations;
}

const OWN_IDS: Operation = { op: "fileIds", uid: 0, gid: 0 };

/** From here on what is made belongs to the namespace's root. */
function fileIds({ uid, gid }: IdMaps): Operation {
  const [user, group] = [hostIdOf(uid, 0), hostIdOf(gid, 0)];
  if (user === undefined || group === undefined) {
    throw new GantryError("invalid", "the maps of a user namespace must have a root");
  }
  return { op: "fileIds", uid: user, gid: group };
}

/** Few folders that hold all layers, none inside another. The upper and the work folder must end
 * up in one mount. */
function layerFolders({ lowerDirs, upperDir, workDir }: Overlay, withUpper: boolean): string[] {
  const around = (path: string, levels: number): string => {
    const outer = levels === 0 ? path : around(dirname(path), levels - 1);
    return dirname(outer) === "/" || outer === "/" ? path : outer;
  };
  const folders = new Set(lowerDirs.map((path) => around(path, 2)));
  if (withUpper) folders.add(commonFolder(upperDir, workDir));
  const all = [...folders];
  return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
}

function commonFolder(a: string, b: string): string {
  let folder = dirname(a);
  while (!`${b}/`.startsWith(`${folder === "/" ? "" : folder}/`)) folder = dirname(folder);
  return folder;
}

function outside(path: string, map: IdMaps["uid"], id = 0): number {
  const found = hostIdOf(map, id);
  if (found !== undefined) return found;
  throw new GantryError("invalid", `${path}: its owner ${id} is not in the user namespace`);
}

/** The container's /dev, made where mknod is allowed, as a detached mount in a slot; undefined
 * where its /dev is no tmpfs of its own. `made`: the nodes that are in it. */
export function planMappedDev(
  builder: PlanBuilder,
  mounts: readonly OciMount[],
  o: { devices: readonly OciDevice[]; maps: IdMaps; mountLabel?: string | undefined },
): { mount: OciMount; slot: number; made: Set<string> } | undefined {
  const mount = mounts.findLast(({ destination }) => /^\/dev\/?$/.test(destination));
  if (mount?.type !== "tmpfs") return undefined;
  const { devices, maps, mountLabel } = o;
  const { host } = builder;
  const options = parseMountOptions(mount.options);
  const slot = builder.allocate("/dev");
  const root = fileIds(maps) as Extract<Operation, { op: "fileIds" }>;
  const ids = [`uid=${root.uid}`, `gid=${root.gid}`];
  const data = tmpfsOptions(mount, options, { mountLabel, data: ids });
  // It becomes read-only when all is in it.
  const attr = options.set & ~MOUNT_ATTR.RDONLY;
  host.push({ op: "fsmount", fstype: "tmpfs", options: data, attr, to: slot }, root);
  const inside = devices.filter(
    ({ path }) => path.startsWith("/dev/") && !/\/\.\.(\/|$)/.test(path),
  );
  const folders = new Set<string>();
  for (const device of inside) {
    const path = device.path.slice("/dev".length);
    const parent = dirname(path);
    if (parent !== "/" && !folders.has(parent)) {
      folders.add(parent);
      host.push({ op: "mkdirs", root: slot, path: parent, mode: 0o755 });
    }
    host.push({ op: "mknod", root: slot, path, ...nodeOf(device) });
    const uid = outside(device.path, maps.uid, device.uid);
    const gid = outside(device.path, maps.gid, device.gid);
    if (uid !== root.uid || gid !== root.gid) {
      host.push({ op: "chown", root: slot, path, uid, gid, nofollow: true });
    }
  }
  host.push(OWN_IDS, { op: "mountAttr", slot, propagation: MS.PRIVATE });
  return { mount, slot, made: new Set(inside.map(({ path }) => path)) };
}
