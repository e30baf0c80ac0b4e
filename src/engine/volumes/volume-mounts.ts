// Volumes that are mounts (tmpfs, nfs, cifs, a device, a bind): mounted on <volume>/_data by their
// first user, unmounted by their last. Users are runs of containers, known from the records, and
// calls that look inside for a moment. What is mounted is read from the kernel at boot, so that
// neither a crash nor an upgrade leaves a mount that nobody uses, nor takes one away. A plugin
// mounts its volumes itself and counts its users: it is told of each.

import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readFile, realpath } from "node:fs/promises";
import { GantryError, KeyedMutex, type Logger, messageOf } from "../../base/index.ts";
import type { Native, Operation } from "../../native/index.ts";
import { parseMountinfo } from "../../runtime/index.ts";
import type { EnginePaths } from "../paths.ts";
import type { VolumeDrivers } from "../plugins/volume-drivers.ts";
import {
  hostToResolve,
  isBind,
  type VolumeMount,
  volumeMount,
  withAddress,
} from "./driver-options.ts";
import { mountFailure } from "./mount-failure.ts";
import { isImage, type LimitedVolume, mountImage } from "./size-limits.ts";

export type MountedVolume = LimitedVolume & { driver?: string };

const MS_REMOUNT = 0x20;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const MOUNT_DEADLINE_MS = 60_000;
/** mount(2) takes a page. */
const DATA_BYTES_MAX = 4095;

export class VolumeMounts {
  #native: Native;
  #paths: EnginePaths;
  #log: Logger;
  #lock = new KeyedMutex();
  #users = new Map<string, Set<string>>();
  #mounted = new Set<string>();
  #drivers: VolumeDrivers;
  /** Where plugins have mounted their volumes. */
  #points = new Map<string, string>();
  #driverOf = new Map<string, string>();
  /** Plugins remember users: those of another run of the daemon must not have the same names. */
  #session = randomBytes(8).toString("hex");
  #calls = 0;

  constructor(native: Native, paths: EnginePaths, drivers: VolumeDrivers, log: Logger) {
    this.#native = native;
    this.#paths = paths;
    this.#drivers = drivers;
    this.#log = log;
  }

  /** Has the volume mounted for `user` until release(). True when it was mounted just now. A volume
   * that is a plain folder needs nothing. */
  async acquire(volume: MountedVolume, user: string): Promise<boolean> {
    if (volume.driver !== undefined) return await this.#acquireAt(volume.driver, volume.name, user);
    const wanted = volumeMount(volume.options);
    if (!wanted && !isImage(volume)) return false;
    const { name } = volume;
    return await this.#lock.run(name, async () => {
      const path = this.#paths.volumeData(name);
      // Somebody may have unmounted it meanwhile: writing into the bare folder would be a loss.
      const fresh = !this.#mounted.has(name) || (await mountsAt(path)) === 0;
      if (fresh && wanted) await this.#mount(wanted, path);
      else if (fresh) await this.#native.run({ host: mountImage(volume, path) });
      this.#mounted.add(name);
      const users = this.#users.get(name) ?? new Set();
      this.#users.set(name, users.add(user));
      return fresh;
    });
  }

  async #acquireAt(driver: string, name: string, user: string): Promise<boolean> {
    return await this.#lock.run(name, async () => {
      let point: string;
      try {
        point = await this.#drivers.mount(driver, name, user);
      } catch (cause) {
        const message = `error while mounting volume '${name}': ${messageOf(cause)}`;
        throw new GantryError("internal", message, { cause });
      }
      this.#points.set(name, point);
      this.#driverOf.set(name, driver);
      const users = this.#users.get(name) ?? new Set();
      this.#users.set(name, users.add(user));
      return false;
    });
  }

  /** Where a plugin has mounted a volume; "" where nobody here uses it. */
  pointOf(name: string): string {
    return this.#points.get(name) ?? "";
  }

  /** Never throws: what cannot be unmounted now is tried again when it is removed, and at boot. */
  async release(name: string, user: string): Promise<void> {
    if (!this.#mounted.has(name) && !this.#users.has(name)) return;
    await this.#lock.run(name, async () => {
      const users = this.#users.get(name);
      const wasUser = users?.delete(user) ?? false;
      const driver = this.#driverOf.get(name);
      if (driver !== undefined && wasUser) await this.#drivers.unmount(driver, name, user);
      if (users && users.size > 0) return;
      if (driver !== undefined) {
        this.#points.delete(name);
        return void this.#users.delete(name);
      }
      this.#users.delete(name);
      try {
        await this.#unmount(this.#paths.volumeData(name));
        this.#mounted.delete(name);
      } catch (error) {
        this.#log.error("Failed to unmount a volume", { name, error });
      }
    });
  }

  /** Has the volume mounted while `work` runs. */
  async use<T>(volume: MountedVolume, work: () => Promise<T>): Promise<T> {
    const user = `${this.#session}-${++this.#calls}`;
    await this.acquire(volume, user);
    try {
      return await work();
    } finally {
      await this.release(volume.name, user);
    }
  }

  /** Nobody mounts or unmounts the volume while `work` runs. */
  async hold<T>(name: string, work: () => Promise<T>): Promise<T> {
    return await this.#lock.run(name, work);
  }

  isMounted(name: string): boolean {
    return this.#mounted.has(name);
  }

  /** At boot: a run that goes on uses the volume; a plugin's is where the container has it from. */
  adopt(volume: { name: string; driver?: string; point?: string }, user: string): void {
    const { name, driver, point } = volume;
    this.#users.set(name, (this.#users.get(name) ?? new Set()).add(user));
    if (driver === undefined) return;
    this.#driverOf.set(name, driver);
    if (point) this.#points.set(name, point);
  }

  /** At boot, after adopt(): takes note of what is mounted and unmounts what nobody uses.
   * `known` says which names are volumes, and which of them are mounts. */
  async reconcile(known: ReadonlyMap<string, boolean>): Promise<void> {
    const found = new Set(await this.#mountedNames());
    for (const [name] of this.#users) if (known.get(name) !== true) this.#users.delete(name);
    for (const name of known.keys()) {
      this.#drivers.recover(name, (user) => this.#users.get(name)?.has(user) === true);
    }
    for (const name of found) {
      // A plain folder that is mounted on is the affair of whoever did that (a size limit).
      if (known.get(name) === false) continue;
      if (this.#users.has(name)) {
        this.#mounted.add(name);
        continue;
      }
      this.#log.info("Unmounting a volume that nobody uses", { name });
      await this.#unmount(this.#paths.volumeData(name)).catch((error) => {
        this.#log.error("Failed to unmount a volume", { name, error: messageOf(error) });
      });
    }
  }

  /** Before the folder is deleted: nothing may be mounted there, or its content would go too. */
  async ensureUnmounted(name: string): Promise<void> {
    await this.#lock.run(name, async () => {
      if (this.#users.has(name)) {
        throw new GantryError("conflict", `remove ${name}: volume has active mounts`);
      }
      if (this.#mounted.has(name)) await this.#unmount(this.#paths.volumeData(name));
      this.#mounted.delete(name);
    });
  }

  async #mount(wanted: VolumeMount, path: string): Promise<void> {
    const mount = await resolveAddress(wanted, path);
    try {
      await this.#native.run({ host: mountOperations(mount, path), deadlineMs: MOUNT_DEADLINE_MS });
    } catch (error) {
      // The first of several calls may have succeeded.
      await this.#unmount(path).catch(() => {});
      throw await mountFailure(this.#native, mount, path, error);
    }
  }

  /** All that is stacked there. Detached: who still has a file open keeps it to the end. */
  async #unmount(path: string): Promise<void> {
    const count = await mountsAt(path);
    if (count === 0) return;
    const host: Operation[] = Array.from({ length: count }, () => ({
      op: "umount",
      path,
      flags: MNT_DETACH | UMOUNT_NOFOLLOW,
      missingOk: true,
    }));
    await this.#native.run({ host });
  }

  async #mountedNames(): Promise<string[]> {
    const root = await realpath(this.#paths.volumes).catch(() => this.#paths.volumes);
    const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
    return mounts.flatMap(({ path }) => {
      if (!path.startsWith(`${root}/`)) return [];
      const [name = "", data, ...rest] = path.slice(root.length + 1).split("/");
      return data === "_data" && rest.length === 0 ? [name] : [];
    });
  }
}

/** How many mounts are stacked at a path of this process. */
async function mountsAt(path: string): Promise<number> {
  const real = await realpath(path).catch(() => path);
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  return mounts.filter((mount) => mount.path === real).length;
}

/** The calls of mount(8): options of a bind, and propagation, take effect only afterwards. */
export function mountOperations(mount: VolumeMount, path: string): Operation[] {
  const { device: source, fstype, flags, propagation, data } = mount;
  if (Buffer.byteLength(data) > DATA_BYTES_MAX) {
    throw new GantryError("invalid", `o= is longer than ${DATA_BYTES_MAX} bytes`);
  }
  const operations: Operation[] = [
    { op: "mount", source, path, fstype, flags, ...(data !== "" && { data }) },
  ];
  const options = flags & ~(MS_BIND | MS_REC);
  if (isBind(mount) && options !== 0) {
    const again = MS_REMOUNT | MS_BIND | options;
    operations.push({ op: "mount", source: "", path, fstype: "", flags: again });
  }
  if (propagation !== 0) operations.push({ op: "propagation", path, flags: propagation });
  return operations;
}

/** The kernel's network file systems take addresses, not names. */
async function resolveAddress(mount: VolumeMount, path: string): Promise<VolumeMount> {
  const host = hostToResolve(mount);
  if (host === undefined) return mount;
  try {
    const { address } = await lookup(host);
    return withAddress(mount, host, address);
  } catch (cause) {
    throw new GantryError(
      "internal",
      `error while mounting volume '${path}': error resolving passed in network volume address: ` +
        `lookup ${host}: ${messageOf(cause)}`,
      { cause },
    );
  }
}
