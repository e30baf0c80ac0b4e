// The mounts of a container: what the request asks for is united (volumes-from, binds, Mounts, the
// image's VOLUMEs), then volumes are made, referred to and filled from the image on first use.

import { mkdir, stat } from "node:fs/promises";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { ANONYMOUS_LABEL, randomVolumeName } from "../volumes/registry.ts";
import { announceVolume } from "./announce.ts";
import { findNamed } from "./host-config.ts";
import {
  addMount,
  fromMountRequest,
  fromVolumePath,
  parseBind,
  parseVolumesFrom,
} from "./mount-points.ts";
import type { ContainerRecord, MountRecord } from "./record.ts";

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
      const { request: _, ...rest } = mount;
      inherited.set(mount.Destination, { ...rest, RW: rw ?? mount.RW, copyUp: false });
    }
  }
  const own = new Map<string, MountRecord>();
  for (const spec of host.Binds ?? []) addMount(own, parseBind(spec), host);
  for (const mount of host.Mounts ?? []) {
    const exists = mount.Type !== "bind" || (await pathExists(mount.Source ?? ""));
    addMount(own, fromMountRequest(mount, exists), host);
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
  for (const mount of mounts) checkDriver(record.hostConfig, mount);
  record.mounts = mounts.map((mount) => {
    if (mount.Type !== "volume") return mount;
    const name = mount.Name || randomVolumeName();
    return { ...mount, Name: name, Source: engine.paths.volumeData(name) };
  });
  engine.containers.put(record);
  for (const mount of record.mounts) {
    if (mount.Type === "bind" && mount.createSource) await makeSource(mount.Source);
    if (mount.Type === "volume") await makeVolume(engine, record, mount);
  }
}

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
  const { volume, created } = await engine.volumes.create({
    name: mount.Name!,
    anonymous: mount.anonymous === true,
    ...(labels && { labels }),
    ...(driver?.Options && { options: driver.Options }),
  });
  engine.volumes.refer(volume.name, record.id);
  if (created) announceVolume(engine, "create", volume.name);
  if (mount.copyUp) await copyUp(engine, record, mount.Source, mount.Destination);
}

function checkDriver(host: HostConfig, mount: MountRecord): void {
  if (mount.Type !== "volume") return;
  const driver = mount.request?.VolumeOptions?.DriverConfig?.Name || host.VolumeDriver || "local";
  if (driver === "local") return;
  const quoted = JSON.stringify(driver);
  throw new GantryError(
    "not-found",
    `error looking up volume plugin ${driver}: plugin ${quoted} not found`,
  );
}

/** Copies what the image holds at `destination` into the volume, if that is empty. */
async function copyUp(
  engine: EngineContext,
  record: ContainerRecord,
  volumeDir: string,
  destination: string,
): Promise<void> {
  const rootfs = engine.storage.snapshots.get(record.id);
  if (!rootfs) return;
  try {
    const source = { kind: "mount", rootfs } as const;
    await engine.files.copyOut(source, destination, volumeDir, { ifEmpty: true });
  } catch (error) {
    // The image has nothing there: the usual case of a VOLUME that the program fills itself.
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return;
    throw error;
  }
}

/** Forgets the references; deletes anonymous volumes that nobody else uses, when asked. */
export async function releaseVolumes(
  engine: EngineContext,
  record: ContainerRecord,
  { removeAnonymous }: { removeAnonymous: boolean },
): Promise<void> {
  for (const mount of record.mounts) {
    if (mount.Type !== "volume" || !mount.Name) continue;
    engine.volumes.unrefer(mount.Name, record.id);
    const volume = engine.volumes.get(mount.Name);
    const anonymous = volume?.anonymous || volume?.labels?.[ANONYMOUS_LABEL] !== undefined;
    if (!removeAnonymous || !anonymous || engine.volumes.users(mount.Name).length > 0) continue;
    await engine.volumes.remove(mount.Name);
    announceVolume(engine, "destroy", mount.Name);
  }
}

async function pathExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
