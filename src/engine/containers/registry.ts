// Every container the engine knows, in memory and written through to SQLite: `list` and look-ups
// read no file. A name belongs to one container from the moment it is reserved; the container is
// found only when it has all that belongs to it.

import { type Advice, GantryError, withAdvice } from "../../base/index.ts";
import type { Collection } from "../../storage/index.ts";
import { type ContainerRecord, isRunning, statusOf } from "./record.ts";

export class ContainerRegistry {
  #records: Collection<ContainerRecord>;
  #byId = new Map<string, ContainerRecord>();
  #gone = new WeakSet<ContainerRecord>();
  #idByName = new Map<string, string>();

  constructor(records: Collection<ContainerRecord>) {
    this.#records = records;
    for (const [id, record] of records.all()) {
      this.#byId.set(id, record);
      this.#idByName.set(record.name, id);
    }
  }

  all(): ContainerRecord[] {
    return [...this.#byId.values()];
  }

  get(id: string): ContainerRecord | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): ContainerRecord | undefined {
    const id = this.#idByName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  isNameFree(name: string): boolean {
    return !this.#idByName.has(name);
  }

  /** Takes the name for `id`, atomically; throws conflict with docker's wording. */
  reserveName(name: string, id: string): void {
    const holder = this.#idByName.get(name);
    if (holder !== undefined && holder !== id) {
      const conflict = new GantryError(
        "conflict",
        `Conflict. The container name "/${name}" is already in use by container "${holder}". ` +
          "You have to remove (or rename) that container to be able to reuse that name.",
      );
      throw withAdvice(conflict, nameAdvice(name, this.#byId.get(holder)));
    }
    this.#idByName.set(name, id);
  }

  releaseName(name: string, id: string): void {
    if (this.#idByName.get(name) === id) this.#idByName.delete(name);
  }

  /** Remembers a new or changed record. Throws exhausted on a full disk. */
  put(record: ContainerRecord): void {
    if (this.#gone.has(record)) return;
    this.#records.put(record.id, record);
    this.#byId.set(record.id, record);
  }

  /** As put(), for what has happened already: on a full disk it takes the room kept for that. */
  putFact(record: ContainerRecord): void {
    if (this.#gone.has(record)) return; // removed while its writer waited: it stays gone
    this.#records.putFact(record.id, record);
    this.#byId.set(record.id, record);
  }

  delete(record: ContainerRecord): void {
    this.#records.delete(record.id);
    this.#gone.add(record);
    this.#byId.delete(record.id);
    this.releaseName(record.name, record.id);
  }

  /** By full id, name (with or without slash) or unambiguous prefix of an id. */
  find(ref: string): ContainerRecord {
    if (ref === "") throw new GantryError("invalid", 'invalid name or ID supplied: ""');
    const found = this.#byId.get(ref) ?? this.byName(ref.replace(/^\//, "")) ?? this.#prefix(ref);
    // What is being made is nobody's yet: a start or removal would get in the way of its creation.
    if (!found || found.intent === "creating")
      throw new GantryError("not-found", `No such container: ${ref}`);
    return found;
  }

  #prefix(ref: string): ContainerRecord | undefined {
    if (!/^[0-9a-f]{1,63}$/.test(ref)) return undefined;
    let found: ContainerRecord | undefined;
    for (const [id, record] of this.#byId) {
      if (!id.startsWith(ref) || record.intent === "creating") continue;
      if (found) {
        throw new GantryError("invalid", `Multiple IDs found with provided prefix: ${ref}`);
      }
      found = record;
    }
    return found;
  }
}

function nameAdvice(name: string, holder: ContainerRecord | undefined): Advice | undefined {
  if (!holder) return undefined;
  const created = holder.created.replace(/\.\d+Z$/, "Z");
  const force = isRunning(holder) ? " -f" : "";
  return {
    cause: `it is ${statusOf(holder)}, of image ${holder.imageName}, made at ${created}`,
    remedy: [`gantry rm${force} ${name}, or gantry rename ${name} ANOTHER-NAME`],
  };
}
