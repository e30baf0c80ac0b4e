// Plans that reach into a container's root file system, in a worker that is thrown away. A running
// container is entered through its mount namespace, so its volumes are there and every path is
// resolved in its own root (CVE-2018-15664); a stopped one is mounted in a mount namespace of the
// worker's own. Nothing of the container is executed (CVE-2019-14271).

import { stat } from "node:fs/promises";
import type { Operation } from "../../native/index.ts";
import type { RootfsMount } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";

const CLONE_NEWNS = 0x0002_0000;
const O_PATH_DIRECTORY = 0o10000000 | 0o200000;
const MS_REC = 0x4000;
const MS_SLAVE = 0x8_0000;

const SLOT_PID = 1;
const SLOT_MOUNT = 3;
/** The slot in which rootWithMounts() and bareRoot() leave the root. */
export const SLOT_ROOT = 2;

/** Operations after which SLOT_ROOT is the container's root with everything mounted in it. */
export async function rootWithMounts(
  engine: EngineContext,
  c: ContainerRecord,
): Promise<Operation[]> {
  if (c.run) {
    return [
      ...enterMountNamespace(c.run.pid),
      { op: "open", path: "/", flags: O_PATH_DIRECTORY, to: SLOT_ROOT },
    ];
  }
  const mounts = c.mounts
    .filter((mount) => mount.Type !== "tmpfs")
    .sort((a, b) => a.Destination.length - b.Destination.length);
  const operations = await privateRoot(engine, c);
  for (const mount of mounts) {
    const source = await stat(mount.Source).catch(() => undefined);
    if (!source) continue;
    operations.push(
      { op: "openTree", path: mount.Source, recursive: true, to: SLOT_MOUNT },
      {
        op: "moveMount",
        slot: SLOT_MOUNT,
        root: SLOT_ROOT,
        path: mount.Destination,
        make: source.isDirectory() ? "dir" : "file",
      },
      { op: "close", slot: SLOT_MOUNT },
    );
  }
  return operations;
}

/** Operations after which SLOT_ROOT is the root file system without anything mounted in it. */
export async function bareRoot(engine: EngineContext, c: ContainerRecord): Promise<Operation[]> {
  if (!c.run) return await privateRoot(engine, c);
  return [...enterMountNamespace(c.run.pid), { op: "openTree", path: "/", to: SLOT_ROOT }];
}

function enterMountNamespace(pid: number): Operation[] {
  return [
    { op: "pidfdOpen", pid, to: SLOT_PID },
    { op: "setns", slot: SLOT_PID, flags: CLONE_NEWNS },
  ];
}

async function privateRoot(engine: EngineContext, c: ContainerRecord): Promise<Operation[]> {
  const rootfs = await engine.storage.snapshots.renew(c.id);
  return [
    { op: "unshare", flags: CLONE_NEWNS },
    { op: "propagation", path: "/", flags: MS_REC | MS_SLAVE },
    ...writableRoot(rootfs),
    // Attached at the scratch folder itself: each worker sees only its own mount there.
    { op: "moveMount", slot: SLOT_ROOT, path: engine.paths.scratchMount },
  ];
}

/** A detached mount of the whole root file system in SLOT_ROOT. Only for one that is not running:
 * an upper folder must not be in two overlays. */
export function writableRoot(rootfs: RootfsMount): Operation[] {
  if (rootfs.kind === "bind") return lowerRoot(rootfs);
  const options = [
    ...rootfs.lowerDirs.map((dir) => `lowerdir+=${dir}`),
    `upperdir=${rootfs.upperDir}`,
    `workdir=${rootfs.workDir}`,
    ...(rootfs.volatile ? ["volatile"] : []),
  ];
  return [{ op: "fsmount", fstype: "overlay", options, to: SLOT_ROOT }];
}

/** What the image holds, without the container's own changes. overlay wants two layers at least. */
export function lowerRoot(rootfs: RootfsMount, slot = SLOT_ROOT): Operation[] {
  if (rootfs.kind === "bind") return [{ op: "openTree", path: rootfs.path, to: slot }];
  const [only, ...more] = rootfs.lowerDirs;
  if (only !== undefined && more.length === 0) {
    return [{ op: "open", path: only, flags: O_PATH_DIRECTORY, to: slot }];
  }
  const options = rootfs.lowerDirs.map((dir) => `lowerdir+=${dir}`);
  return [{ op: "fsmount", fstype: "overlay", options, to: slot }];
}
