// The mounts of a container: what the request asks for is united (volumes-from, binds, Mounts, the
// image's VOLUMEs), then volumes are made, referred to and filled from the image on first use.

import { mkdir, stat } from "node:fs/promises";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { LOCAL_DRIVER, randomVolumeName, type VolumeRecord } from "../volumes/registry.ts";
import { checkDriver } from "../volumes/verbs.ts";
import { announceVolume } from "./announce.ts";
import { propagateFromRoot } from "./daemon-root.ts";
import { findNamed } from "./host-config.ts";
import { checkImage, makeImageLayers, removeImageLayers } from "./image-mounts.ts";
import {
  addMount,
  fromMountRequest,
  fromVolumePath,
  parseBind,
  parseVolumesFrom,
} from "./mount-points.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";
import { relabelMount, relabelShared } from "./selinux-labels.ts";

const O_PATH = 0o10000000;

/** Everything that is to be mounted, nothing made yet. Later sources replace volumes-from. */
export async function resolveMounts(
  engine: EngineContext,
  config: ContainerConfig,
  host: HostConfig,
): Promise<MountRecord[]> {
  const inherited = new Map<string, MountRecord>();
  for (const spec of host.VolumesFrom ?? []) {
    const { ref, rw } = parseVolumesFrom(spec);
    for (const mount of findNamed(engine, ref).mounts) {
      const RW = mount.RW && rw;
      inherited.set(mount.Destination, { ...mount, Mode: "", RW, copyUp: false });
    }
  }
  const own = new Map<string, MountRecord>();
  const { dataRoot } = engine.options;
  for (const spec of host.Binds ?? []) {
    addMount(own, propagateFromRoot(parseBind(spec), dataRoot), host);
  }
  for (const mount of host.Mounts ?? []) {
    const exists = mount.Type !== "bind" || (await pathExists(mount.Source ?? ""));
    const record = propagateFromRoot(fromMountRequest(mount, exists), dataRoot);
    if (record.Type === "image") checkImage(engine, record);
    addMount(own, record, host);
  }
  const all = new Map([...inherited, ...own]);
  for (const path of Object.keys(config.Volumes ?? {})) {
    const record = fromVolumePath(path);
    const taken = all.has(record.Destination) || host.Tmpfs?.[record.Destination] !== undefined;
    if (!taken) all.set(record.Destination, record);
  }
  return [...all.values()];
}

/** Makes the volumes that are missing and fills in names and sources. All names are on record
 * before the first volume is made, so that a crash leaves none that nobody knows. */
export async function makeVolumes(
  engine: EngineContext,
  record: ContainerRecord,
  mounts: readonly MountRecord[],
): Promise<void> {
  const named: MountRecord[] = [];
  for (const mount of mounts) {
    if (mount.Type !== "volume") {
      named.push(mount);
      continue;
    }
    const name = mount.Name || randomVolumeName();
    await checkDriver(engine, name, driverOf(record, mount));
    named.push({ ...mount, Name: name, Source: engine.paths.volumeData(name) });
  }
  record.mounts = named;
  engine.containers.put(record);
  for (const mount of record.mounts) {
    if (mount.Type === "bind" && mount.createSource) await makeSource(mount.Source);
    if (mount.Type === "volume") await makeVolume(engine, record, mount);
  }
  await makeImageLayers(engine, record);
}

const driverOf = (record: ContainerRecord, { request }: MountRecord): string | undefined =>
  request ? request.VolumeOptions?.DriverConfig?.Name : record.hostConfig.VolumeDriver;

async function makeSource(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (cause) {
    if (errnoOf(cause) === "EEXIST") return;
    throw new GantryError(
      "invalid",
      `error while creating mount source path '${path}': mkdir ${path}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

async function makeVolume(
  engine: EngineContext,
  record: ContainerRecord,
  mount: MountRecord,
): Promise<void> {
  const { Labels: labels, DriverConfig: driver } = mount.request?.VolumeOptions ?? {};
  const driverName = driverOf(record, mount);
  const { volume, created } = await engine.volumes.create({
    name: mount.Name!,
    anonymous: mount.anonymous === true,
    referrer: record.id,
    ...(labels && { labels }),
    ...(driver?.Options && { options: driver.Options }),
    ...(driverName && { driver: driverName }),
  });
  if (created) announceVolume(engine, "create", volume.name);
  // Also where nothing is copied: what cannot be mounted is to be told now, not at the start.
  await engine.volumes.mounts.use(volume, async () => {
    locate(engine, mount, volume);
    await copyUp(engine, record, mount);
    if (mount.anonymous) await relabelShared(engine, record, mount.Source);
  });
}

/** A plugin says where its volume is when it mounts it. */
function locate(engine: EngineContext, mount: MountRecord, volume: VolumeRecord): void {
  mount.Driver = volume.driver ?? LOCAL_DRIVER;
  if (volume.driver !== undefined) mount.Source = engine.volumes.pathOf(volume.name);
}

/** Has every volume of a container that starts mounted. What a mount forgets when nobody uses it
 * (tmpfs) is filled from the image again. The caller undoes it with unmountVolumes(). */
export async function mountVolumes(engine: EngineContext, c: ContainerRecord): Promise<void> {
  for (const mount of c.mounts) {
    if (mount.Type === "bind" && mount.createSource) await makeSource(mount.Source);
    await mountVolume(engine, c, mount);
    await relabelMount(engine, c, mount);
  }
}

async function mountVolume(
  engine: EngineContext,
  c: ContainerRecord,
  mount: MountRecord,
): Promise<void> {
  const volume = mount.Type === "volume" && mount.Name && engine.volumes.get(mount.Name);
  if (!volume) return;
  const fresh = await engine.volumes.mounts.acquire(volume, c.id);
  locate(engine, mount, volume);
  if (fresh && volume.options?.["device"]) await copyUp(engine, c, mount);
}

export async function unmountVolumes(engine: EngineContext, c: ContainerRecord): Promise<void> {
  for (const name of volumeNames(c)) await engine.volumes.mounts.release(name, c.id);
}

/** Each volume once, however often it is mounted. */
export const volumeNames = (c: ContainerRecord): string[] => [
  ...new Set(c.mounts.flatMap((mount) => (mount.Type === "volume" && mount.Name) || [])),
];

/** Copies what the image holds at the destination into the volume, or the part of it that is to be
 * mounted, if that is empty. */
async function copyUp(
  engine: EngineContext,
  record: ContainerRecord,
  mount: MountRecord,
): Promise<void> {
  const subpath = mount.request?.VolumeOptions?.Subpath;
  if (subpath) await checkSubpath(engine, mount.Source, subpath);
  const rootfs = mount.copyUp ? engine.storage.snapshots.get(record.id) : undefined;
  if (!rootfs) return;
  const copy = () =>
    engine.files.copyOut({ kind: "mount", rootfs }, mount.Destination, mount.Source, {
      ifEmpty: true,
      ...(subpath && { into: subpath }),
    });
  try {
    // Two containers that are made at once: the second finds what the first has copied.
    await engine.transitions.run(`copy-up ${mount.Source}`, copy);
  } catch (error) {
    // The image has nothing there: the usual case of a VOLUME that the program fills itself. A
    // volume that cannot be written has been filled by others.
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "EROFS") return;
    throw error;
  }
}

/** Throws not-found or invalid with docker's words. The kernel resolves the path inside the volume,
 * now and again when it is mounted: a link in it leads nowhere else. */
export async function checkSubpath(
  engine: EngineContext,
  folder: string,
  subpath: string,
): Promise<void> {
  try {
    await engine.native.run({
      host: [
        { op: "open", path: folder, flags: O_PATH, to: 0 },
        { op: "open", root: 0, path: subpath, flags: O_PATH, to: 1 },
      ],
    });
  } catch (cause) {
    const errno = errnoOf(cause);
    const why: Record<string, string> = {
      ENOENT: "no such file or directory",
      ENOTDIR: "not a directory",
      ELOOP: "too many levels of symbolic links",
    };
    if (errno === undefined || why[errno] === undefined) throw cause;
    const path = JSON.stringify(`${folder}/${subpath}`);
    throw new GantryError("invalid", `cannot access path ${path}: ${why[errno]}`, { cause });
  }
}

/** Forgets the references; deletes the anonymous volumes that were made for this container and
 * that nobody else uses, when asked. */
export async function releaseVolumes(
  engine: EngineContext,
  record: ContainerRecord,
  { removeAnonymous }: { removeAnonymous: boolean },
): Promise<void> {
  await removeImageLayers(engine, record);
  for (const mount of record.mounts) {
    if (mount.Type !== "volume" || !mount.Name) continue;
    engine.volumes.unrefer(mount.Name, record.id);
    // Named by its hash in a -v, an anonymous volume is as good as any other.
    if (!removeAnonymous || !mount.anonymous || !engine.volumes.get(mount.Name)) continue;
    if (engine.volumes.users(mount.Name).length > 0) continue;
    const { driver = LOCAL_DRIVER } = engine.volumes.find(mount.Name);
    // A plugin that is down must not keep the container from going.
    await engine.volumes.remove(mount.Name).catch((error) => {
      if (driver === LOCAL_DRIVER) throw error;
      engine.log.error("Failed to remove a plugin's volume", { name: mount.Name, error });
    });
    announceVolume(engine, "destroy", mount.Name, { driver });
  }
}

async function pathExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
