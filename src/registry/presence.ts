// What a repository holds, and the promise that goes with saying so: who is told that a blob or a
// manifest is there may refer to it for a while. So a look renews the link's age, and what the
// collector has put into quarantine comes back when it is asked for (docs/internals/registry.md,
// "Garbage collection").

import { kindOf } from "../base/index.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { blobPath, layerLink, quarantined, revisionLink } from "./storage-paths.ts";

/** Without a collector's grace being known here, links are renewed when older than this. */
const renewAfterMsDefault = 10 * 60 * 1000;

export class Presence {
  readonly #store: ObjectStore;
  readonly #renewAfterMs: number;

  constructor(store: ObjectStore, renewAfterMs = renewAfterMsDefault) {
    this.#store = store;
    this.#renewAfterMs = renewAfterMs;
  }

  /** The blob's facts when the repository holds it. */
  async blob(name: string, digest: string): Promise<ObjectFacts | undefined> {
    if (!(await this.#link(layerLink(name, digest), digest))) return undefined;
    return await this.#data(digest);
  }

  /** Whether the repository holds the manifest. */
  async manifest(name: string, digest: string): Promise<boolean> {
    return await this.#link(revisionLink(name, digest), digest);
  }

  /** The bytes of a blob or manifest, wherever the collector has put them. */
  async readData(digest: string): Promise<Buffer | undefined> {
    const path = blobPath(digest);
    try {
      return await this.#store.read(path);
    } catch (error) {
      if (kindOf(error) !== "not-found") throw error;
    }
    if (!(await this.#restore(path))) return undefined;
    return await this.#store.read(path);
  }

  async data(digest: string): Promise<ObjectFacts | undefined> {
    return await this.#data(digest);
  }

  async #link(path: string, digest: string): Promise<boolean> {
    const facts = await this.#store.stat(path);
    if (facts === undefined) return await this.#restore(path);
    if (Date.now() - facts.modifiedAt.getTime() < this.#renewAfterMs) return true;
    if (await this.#store.touch(path)) return true;
    // The collector took it between the two: it was there, so it is there.
    if (!(await this.#restore(path))) await this.#store.write(path, Buffer.from(digest));
    return true;
  }

  async #data(digest: string): Promise<ObjectFacts | undefined> {
    const path = blobPath(digest);
    const facts = await this.#store.stat(path);
    if (facts !== undefined) return facts;
    return (await this.#restore(path)) ? await this.#store.stat(path) : undefined;
  }

  /** Takes an object out of quarantine; false when it is not there either. */
  async #restore(path: string): Promise<boolean> {
    const waiting = quarantined(path);
    if ((await this.#store.stat(waiting)) === undefined) {
      return (await this.#store.stat(path)) !== undefined; // somebody else was quicker
    }
    try {
      await this.#store.move(waiting, path);
    } catch (error) {
      if (kindOf(error) !== "not-found") throw error;
    }
    return await this.#store.touch(path);
  }
}
