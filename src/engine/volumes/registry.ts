// Volumes: a record in SQLite, and a count of the containers that refer to each (kept in memory,
// computed from the containers' records). Those of the local driver have a folder
// <volumes>/<name>/_data; what is mounted on it is volume-mounts.ts's part. Those of a plugin are
// the plugin's: of them only the name, the driver and the labels are here.

import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, type KeyedMutex, kindOf, messageOf } from "../../base/index.ts";
import type { Native } from "../../native/index.ts";
import type { Collection, SizeLimit } from "../../storage/index.ts";
import type { Volume } from "../contract.ts";
import type { EnginePaths } from "../paths.ts";
import type { VolumeDrivers } from "../plugins/volume-drivers.ts";
import { timestamp } from "../timestamps.ts";
import { checkDriverOptions } from "./driver-options.ts";
import { isImage, limitAsked, VolumeLimits } from "./size-limits.ts";
import type { VolumeMounts } from "./volume-mounts.ts";
import { checkVolumeName } from "./volume-name.ts";

export interface VolumeRecord {
  name: string;
  /** The plugin that keeps it; absent for the local driver. */
  driver?: string;
  createdAt: string;
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
  anonymous: boolean;
  /** Written before the folder is made, cleared after. */
  creating?: boolean;
  /** How its size is limited, where it is. */
  limit?: SizeLimit;
  /** Written before the folder is deleted: a boot goes on with it. */
  removing?: boolean;
}

export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";

export const LOCAL_DRIVER = "local";

const REMOVE_DEADLINE_MS = 3_600_000;

export const randomVolumeName = (): string => randomBytes(32).toString("hex");

export interface VolumeRegistryParts {
  records: Collection<VolumeRecord>;
  paths: EnginePaths;
  lock: KeyedMutex;
  native: Native;
  mounts: VolumeMounts;
  drivers: VolumeDrivers;
}

export class VolumeRegistry {
  readonly mounts: VolumeMounts;
  readonly drivers: VolumeDrivers;
  #records: Collection<VolumeRecord>;
  #paths: EnginePaths;
  #lock: KeyedMutex;
  #native: Native;
  #limits: VolumeLimits;
  #byName = new Map<string, VolumeRecord>();
  #users = new Map<string, Set<string>>();

  constructor({ records, paths, lock, native, mounts, drivers }: VolumeRegistryParts) {
    this.mounts = mounts;
    this.drivers = drivers;
    this.#records = records;
    this.#paths = paths;
    this.#lock = lock;
    this.#native = native;
    this.#limits = new VolumeLimits(native, paths);
    for (const [name, record] of records.all()) this.#byName.set(name, record);
  }

  all(): VolumeRecord[] {
    return [...this.#byName.values()];
  }

  get(name: string): VolumeRecord | undefined {
    return this.#byName.get(name);
  }

  find(name: string): VolumeRecord {
    const record = this.#byName.get(name);
    if (!record) throw new GantryError("not-found", `get ${name}: no such volume`);
    return record;
  }

  /** Returns the volume, made unless it was there; `created` says which. Options and labels of one
   * that was there are left alone, as docker leaves them. */
  async create(o: {
    name?: string;
    /** The local driver when absent; of a volume that is there, the one that it has. */
    driver?: string;
    /** Made for one container only; a volume without a name is. */
    anonymous?: boolean;
    labels?: Record<string, string> | null;
    options?: Record<string, string> | null;
    /** The container that refers to it from the start, so that nobody removes it in between. */
    referrer?: string;
  }): Promise<{ volume: VolumeRecord; created: boolean }> {
    const anonymous = o.anonymous === true || !o.name;
    const name = o.name || randomVolumeName();
    checkVolumeName(name);
    return await this.#lock.run(`volume ${name}`, async () => {
      const present = this.#byName.get(name) ?? (o.name && (await this.#adopt(name, o.driver)));
      if (present) await this.#checkSameDriver(present, o.driver);
      const driver = o.driver && o.driver !== LOCAL_DRIVER ? o.driver : undefined;
      if (!present && driver === undefined) checkOptions(name, o.options ?? {});
      if (o.referrer !== undefined) this.refer(name, o.referrer);
      if (present) return { volume: present, created: false };
      const labels = anonymous ? { [ANONYMOUS_LABEL]: "", ...o.labels } : (o.labels ?? null);
      const record: VolumeRecord = {
        name,
        ...(driver !== undefined && { driver }),
        createdAt: timestamp(),
        labels,
        options: o.options ?? null,
        anonymous,
      };
      try {
        if (driver === undefined) await this.#make(record);
        else await inTheWordsOf(`create ${name}`, () => this.#makeAt(driver, record));
        this.#records.put(name, record);
      } catch (error) {
        if (o.referrer !== undefined) this.unrefer(name, o.referrer);
        throw error;
      }
      this.#byName.set(name, record);
      return { volume: record, created: true };
    });
  }

  async #make(record: VolumeRecord): Promise<void> {
    const { name } = record;
    this.#records.put(name, { ...record, creating: true });
    await mkdir(this.#paths.volumeData(name), { recursive: true, mode: 0o755 });
    const size = limitAsked(record.options);
    if (size !== undefined) record.limit = await this.#limits.create(name, size);
  }

  async #makeAt(driver: string, { name, options }: VolumeRecord): Promise<void> {
    await this.#requireDriver(driver);
    await this.drivers.create(driver, name, options);
  }

  async #requireDriver(driver: string): Promise<void> {
    await this.drivers.require(driver).catch((cause) => {
      const message = `error looking up volume plugin ${driver}: ${messageOf(cause)}`;
      throw new GantryError(kindOf(cause), message, { cause });
    });
  }

  /** Throws conflict: a name is one volume, whatever the driver. */
  async #checkSameDriver(present: VolumeRecord, wanted: string | undefined): Promise<void> {
    const { name, driver = LOCAL_DRIVER } = present;
    if (!wanted || wanted === driver) return;
    if (wanted !== LOCAL_DRIVER) {
      await inTheWordsOf(`create ${name}`, () => this.#requireDriver(wanted));
    }
    const why = `driver '${driver}' already has volume '${name}': volume name must be unique`;
    throw new GantryError("conflict", `create ${name}: ${why}`);
  }

  /** A volume that a plugin has and nobody here has named yet. */
  async #adopt(name: string, driver: string | undefined): Promise<VolumeRecord | undefined> {
    const names = driver === undefined ? await this.drivers.names() : [driver];
    for (const one of names) {
      if (one === LOCAL_DRIVER || one === "") continue;
      const found = await this.drivers.get(one, name).catch(() => undefined);
      if (found === undefined) continue;
      const createdAt = found.createdAt ?? timestamp();
      const record = {
        name,
        driver: one,
        createdAt,
        labels: null,
        options: null,
        anonymous: false,
      };
      this.#records.put(name, record);
      this.#byName.set(name, record);
      return record;
    }
    return undefined;
  }

  /** The volume, also one that only a plugin knows so far. */
  async findEverywhere(name: string): Promise<VolumeRecord> {
    return this.#byName.get(name) ?? (await this.#adopt(name, undefined)) ?? this.find(name);
  }

  /** Deletes the volume and its content; throws conflict while a container refers to it. Commit
   * point: the intent is recorded. */
  async remove(name: string, { force = false } = {}): Promise<void> {
    await this.#lock.run(`volume ${name}`, async () => {
      const record = await this.findEverywhere(name);
      const users = this.users(name);
      if (users.length > 0) {
        throw new GantryError(
          "conflict",
          `remove ${name}: volume is in use - [${users.join(", ")}]`,
        );
      }
      await this.mounts.ensureUnmounted(name);
      const { driver } = record;
      if (driver !== undefined) return await this.#removeAt(driver, name, force);
      this.#records.putFact(name, { ...record, removing: true });
      await this.#delete(name);
    });
  }

  /** With `force` a volume is forgotten also where its plugin does not remove it. */
  async #removeAt(driver: string, name: string, force: boolean): Promise<void> {
    try {
      await inTheWordsOf(`remove ${name}`, () => this.drivers.remove(driver, name));
    } catch (error) {
      if (!force) throw error;
    }
    this.#records.delete(name);
    this.#byName.delete(name);
  }

  /** Never follows a link nor crosses a mount: what a container left there leads nowhere else. */
  async #delete(name: string): Promise<void> {
    const path = dirname(this.#paths.volumeData(name));
    await this.#limits.release(this.find(name));
    const deadlineMs = REMOVE_DEADLINE_MS;
    await this.#native.run({ host: [{ op: "removeTree", path, missingOk: true }], deadlineMs });
    this.#records.delete(name);
    this.#byName.delete(name);
  }

  /** Changes the size limit, also while containers use the volume. Commit point: the kernel has
   * the new limit. */
  async resize(name: string, options: Record<string, string>): Promise<void> {
    await this.#lock.run(`volume ${name}`, async () => {
      const record = this.find(name);
      if (record.driver !== undefined) {
        const message = `update ${name}: volumes of driver ${record.driver} cannot be changed`;
        throw new GantryError("invalid", message);
      }
      const { size, ...others } = options;
      const [unknown] = Object.keys(others);
      if (unknown !== undefined || size === undefined) {
        const message = `update ${name}: only size can be changed`;
        throw new GantryError("invalid", message);
      }
      const wanted = { ...record, options: { ...record.options, size } };
      checkOptions(name, wanted.options, "update");
      const bytes = limitAsked({ size })!;
      const limit = await this.mounts.hold(name, () => this.#limits.resize(record, bytes));
      this.#records.putFact(name, { ...wanted, limit });
      this.#byName.set(name, { ...wanted, limit });
    });
  }

  async status(name: string): Promise<Record<string, unknown> | undefined> {
    return await this.#limits.status(this.find(name));
  }

  /** Where the content is; of a plugin's volume, while somebody has it mounted. */
  pathOf(name: string): string {
    const { driver } = this.find(name);
    return driver === undefined ? this.#paths.volumeData(name) : this.mounts.pointOf(name);
  }

  refer(name: string, containerId: string): void {
    const users = this.#users.get(name) ?? new Set();
    users.add(containerId);
    this.#users.set(name, users);
  }

  unrefer(name: string, containerId: string): void {
    const users = this.#users.get(name);
    users?.delete(containerId);
    if (users?.size === 0) this.#users.delete(name);
  }

  users(name: string): string[] {
    return [...(this.#users.get(name) ?? [])];
  }

  /** At boot, when it is known which containers run: mounts are matched with their users, and
   * volumes that were half made or half removed go. */
  async reconcile(): Promise<void> {
    const isMount = (record: VolumeRecord): boolean =>
      record.driver !== undefined || Boolean(record.options?.["device"]) || isImage(record);
    for (const record of this.all()) {
      if (record.driver === undefined) await this.#limits.recover(record);
    }
    await this.mounts.reconcile(new Map(this.all().map((r) => [r.name, isMount(r)])));
    for (const record of this.all()) {
      if (!record.creating && !record.removing) continue;
      await this.mounts.ensureUnmounted(record.name);
      await this.#delete(record.name);
    }
  }

  /** Of a plugin's volume without what only the plugin knows (plugin-volumes.ts). */
  render(record: VolumeRecord): Volume {
    const { name, driver } = record;
    return {
      Name: name,
      Driver: driver ?? LOCAL_DRIVER,
      Mountpoint: driver === undefined ? this.#paths.volumeData(name) : this.mounts.pointOf(name),
      CreatedAt: record.createdAt.replace(/\.\d+Z$/, "Z"),
      Labels: record.labels,
      Options: record.options,
      Scope: "local",
    };
  }
}

async function inTheWordsOf<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new GantryError(kindOf(cause), `${what}: ${messageOf(cause)}`, { cause });
  }
}

function checkOptions(name: string, options: Record<string, string>, verb = "create"): void {
  try {
    checkDriverOptions(options);
    limitAsked(options);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    throw new GantryError(error.kind, `${verb} ${name}: ${error.message}`, { cause: error });
  }
}
