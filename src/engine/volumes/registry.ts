// Volumes of the local driver: a record in SQLite, a folder <volumes>/<name>/_data, and a count of
// the containers that refer to each (kept in memory, computed from the containers' records).

import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, type KeyedMutex } from "../../base/index.ts";
import type { Collection } from "../../storage/index.ts";
import type { Volume } from "../contract.ts";
import type { EnginePaths } from "../paths.ts";
import { timestamp } from "../timestamps.ts";

export interface VolumeRecord {
  name: string;
  createdAt: string;
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
  anonymous: boolean;
  /** Written before the folder is made, cleared after. */
  creating?: boolean;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";

export const randomVolumeName = (): string => randomBytes(32).toString("hex");

export class VolumeRegistry {
  #records: Collection<VolumeRecord>;
  #paths: EnginePaths;
  #lock: KeyedMutex;
  #byName = new Map<string, VolumeRecord>();
  #users = new Map<string, Set<string>>();

  constructor(records: Collection<VolumeRecord>, paths: EnginePaths, lock: KeyedMutex) {
    this.#records = records;
    this.#paths = paths;
    this.#lock = lock;
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

  /** Returns the volume, made unless it was there; `created` says which. */
  async create(o: {
    name?: string;
    /** Made for one container only; a volume without a name is. */
    anonymous?: boolean;
    labels?: Record<string, string> | null;
    options?: Record<string, string> | null;
  }): Promise<{ volume: VolumeRecord; created: boolean }> {
    const anonymous = o.anonymous === true || !o.name;
    const name = o.name || randomVolumeName();
    if (!NAME.test(name)) {
      throw new GantryError(
        "invalid",
        `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume ` +
          'name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host ' +
          "directory, use absolute path",
      );
    }
    if (o.options && Object.keys(o.options).length > 0) {
      throw new GantryError(
        "not-implemented",
        `create ${name}: options of the local driver are not supported yet`,
      );
    }
    return await this.#lock.run(`volume ${name}`, async () => {
      const present = this.#byName.get(name);
      if (present) return { volume: present, created: false };
      const labels = anonymous ? { [ANONYMOUS_LABEL]: "", ...o.labels } : (o.labels ?? null);
      const record: VolumeRecord = {
        name,
        createdAt: timestamp(),
        labels,
        options: o.options ?? null,
        anonymous,
      };
      this.#records.put(name, { ...record, creating: true });
      await mkdir(this.#paths.volumeData(name), { recursive: true, mode: 0o755 });
      this.#records.put(name, record);
      this.#byName.set(name, record);
      return { volume: record, created: true };
    });
  }

  /** Deletes the volume and its content; throws conflict while a container refers to it. */
  async remove(name: string): Promise<void> {
    await this.#lock.run(`volume ${name}`, async () => {
      this.find(name);
      const users = this.users(name);
      if (users.length > 0) {
        throw new GantryError(
          "conflict",
          `remove ${name}: volume is in use - [${users.join(", ")}]`,
        );
      }
      await rm(dirname(this.#paths.volumeData(name)), { recursive: true, force: true });
      this.#records.delete(name);
      this.#byName.delete(name);
    });
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

  /** Deletes volumes whose making was cut short. */
  async reconcile(): Promise<void> {
    for (const record of this.all()) {
      if (!record.creating) continue;
      await rm(dirname(this.#paths.volumeData(record.name)), { recursive: true, force: true });
      this.#records.delete(record.name);
      this.#byName.delete(record.name);
    }
  }

  render(record: VolumeRecord): Volume {
    return {
      Name: record.name,
      Driver: "local",
      Mountpoint: this.#paths.volumeData(record.name),
      CreatedAt: record.createdAt.replace(/\.\d+Z$/, "Z"),
      Labels: record.labels,
      Options: record.options,
      Scope: "local",
    };
  }
}
