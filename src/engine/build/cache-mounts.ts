// The folders behind RUN --mount=type=cache: kept from build to build beneath the data root, by the
// mount's id. They are the steps' own: nothing of the host is ever read from them. `shared` is used
// by several steps at once, `locked` by one at a time, `private` by one while others get their own.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, hexOf } from "../../spec/index.ts";
import type { Collection } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";

interface MountFacts {
  /** As the Dockerfile names it. */
  name: string;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
}
export interface CacheMountEntry extends MountFacts {
  key: string;
  size: number;
  inUse: boolean;
}
export interface CacheMountWish {
  id: string;
  sharing: "shared" | "private" | "locked";
  mode?: number;
  uid?: number;
  gid?: number;
}

const MODE_DEFAULT = 0o755;

export class CacheMounts {
  readonly #engine: EngineContext;
  readonly #root: string;
  readonly #facts: Collection<MountFacts>;
  readonly #users = new Map<string, number>();
  readonly #locks = new Map<string, Promise<void>>();

  constructor(engine: EngineContext) {
    this.#engine = engine;
    this.#root = join(engine.options.dataRoot, "build-mounts");
    this.#facts = engine.storage.records.collection<MountFacts>("build-mounts");
  }

  /** The folder of a cache, held until `release`. */
  async take(
    wish: CacheMountWish,
    signal: AbortSignal,
  ): Promise<{ path: string; release: () => void }> {
    const unlock = wish.sharing === "locked" ? await this.#lock(wish.id, signal) : () => {};
    try {
      const key = this.#keyFor(wish);
      const path = join(this.#root, key);
      this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
      await this.#make(path, key, wish);
      return {
        path,
        release: () => {
          const left = (this.#users.get(key) ?? 1) - 1;
          if (left > 0) this.#users.set(key, left);
          else this.#users.delete(key);
          unlock();
        },
      };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  async #lock(id: string, signal: AbortSignal): Promise<() => void> {
    const before = this.#locks.get(id) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before.then(() => promise);
    this.#locks.set(id, tail);
    const unlock = () => {
      resolve();
      if (this.#locks.get(id) === tail) this.#locks.delete(id);
    };
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => {});
    const stop = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([before, aborted.promise]);
      return unlock;
    } catch (error) {
      unlock();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #keyFor({ id, sharing }: CacheMountWish): string {
    for (let number = 0; ; number++) {
      const key = hexOf(digestOf(number === 0 ? id : JSON.stringify([id, number]))).slice(0, 40);
      if (sharing !== "private" || !this.#users.has(key)) return key;
    }
  }

  async #make(path: string, key: string, wish: CacheMountWish): Promise<void> {
    const now = Date.now();
    const known = this.#facts.get(key);
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    if (made !== undefined) {
      const { uid = 0, gid = 0, mode = MODE_DEFAULT } = wish;
      await this.#engine.native.run({
        host: [
          { op: "chown", path, uid, gid, nofollow: true },
          { op: "chmod", path, mode },
        ],
      });
    }
    const usageCount = (known?.usageCount ?? 0) + 1;
    const createdAtMs = known?.createdAtMs ?? now;
    this.#facts.put(key, { name: wish.id, createdAtMs, lastUsedAtMs: now, usageCount });
  }

  async list(): Promise<CacheMountEntry[]> {
    return await Promise.all(
      this.#facts.all().map(async ([key, facts]) => {
        const size = await this.#engine.files
          .size(join(this.#root, key))
          .catch(() => ({ bytes: 0 }));
        return { ...facts, key, size: size.bytes, inUse: this.#users.has(key) };
      }),
    );
  }

  async remove(key: string): Promise<void> {
    if (this.#users.has(key)) return;
    this.#facts.delete(key);
    const path = join(this.#root, key);
    await this.#engine.native.run({ host: [{ op: "removeTree", path, missingOk: true }] });
    await rm(path, { recursive: true, force: true });
  }
}
