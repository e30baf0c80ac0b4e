// The folders behind RUN --mount=type=cache: kept from build to build beneath the data root, by the
// mount's id. They are the steps' own: nothing of the host is ever read from them. `shared` is used
// by several steps at once, `locked` by one at a time, `private` by one while others get their own.
// A folder is measured when the last step has let go of it, so that nobody walks it to list it.

import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import { digestOf, hexOf } from "../../spec/index.ts";
import type { Collection, RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { CacheMountLocks } from "./cache-mount-locks.ts";
import { removeTree } from "./remove-tree.ts";
import { buildsFolder } from "./workspace.ts";

interface MountFacts {
  /** As the Dockerfile names it. */
  name: string;
  createdAtMs: number;
  lastUsedAtMs: number;
  usageCount: number;
  /** When the last step let go of it. */
  sizeBytes?: number;
}
export interface CacheMountEntry extends Omit<MountFacts, "sizeBytes"> {
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
  /** `from=`: what is in the folder at first. `key` names the content: another content is another
   * mount, as in BuildKit. */
  seed?: CacheMountSeed;
}
export interface CacheMountSeed {
  key: string;
  source: RootSource;
  /** The folder in it, resolved there. */
  path: string;
}

const MODE_DEFAULT = 0o755;
const KEY_DIGITS = 40;
const NAME_CHARS_MAX = 4096;
/** As many digits of a key as listings show. */
const ID_DIGITS_MIN = 4;

export class CacheMounts {
  readonly #engine: EngineContext;
  readonly #root: string;
  readonly #facts: Collection<MountFacts>;
  readonly #users = new Map<string, number>();
  readonly #locks = new CacheMountLocks();
  readonly #filling = new Map<string, Promise<void>>();
  readonly #measuring = new Set<Promise<void>>();

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
    const name = wish.seed ? `${wish.id}@${wish.seed.key}` : wish.id;
    const { sharing } = wish;
    const unlock = sharing === "locked" ? await this.#locks.lock(name, signal) : () => {};
    const key = this.#keyFor(name, sharing === "private");
    this.#hold(key);
    try {
      const path = join(this.#root, key);
      await this.#fillOnce(key, () => this.#make(path, key, wish, signal));
      const release = () => {
        this.#letGo(key);
        unlock();
      };
      return { path, release };
    } catch (error) {
      this.#letGo(key);
      unlock();
      throw error;
    }
  }

  #hold(key: string): void {
    this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
  }

  #letGo(key: string): void {
    const left = (this.#users.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#users.set(key, left);
      return;
    }
    this.#users.delete(key);
    const measuring = this.#settle(key).catch((error) =>
      this.#engine.log.warn("Cannot measure a cache mount", { key, error }),
    );
    this.#measuring.add(measuring);
    void measuring.finally(() => this.#measuring.delete(measuring));
  }

  /** What the folder takes now; one that has outgrown its limit begins anew. */
  async #settle(key: string): Promise<void> {
    const facts = this.#facts.get(key);
    if (facts === undefined) return;
    const { bytes } = await this.#engine.files.size(join(this.#root, key));
    const max = this.#engine.options.builder?.cacheMountBytesMax;
    const now = this.#facts.get(key);
    if (now === undefined || this.#users.has(key)) return;
    if (max !== undefined && bytes > max) {
      const { name } = now;
      this.#engine.log.warn("A cache mount has outgrown its limit and is emptied", { name, bytes });
      await this.remove(key);
    } else this.#facts.put(key, { ...now, sizeBytes: bytes });
  }

  /** Resolves when what steps have let go of is measured. */
  async settled(): Promise<void> {
    while (this.#measuring.size > 0) await Promise.all(this.#measuring);
  }

  #keyFor(name: string, isPrivate: boolean): string {
    for (let number = 0; ; number++) {
      const key = keyOf(number === 0 ? name : JSON.stringify([name, number]));
      if (!isPrivate || !this.#users.has(key)) return key;
    }
  }

  /** Whoever comes while it is being made waits for that. */
  async #fillOnce(key: string, work: () => Promise<void>): Promise<void> {
    const before = this.#filling.get(key);
    const turn = (before ?? Promise.resolve()).catch(() => {}).then(work);
    this.#filling.set(key, turn);
    try {
      await turn;
    } finally {
      if (this.#filling.get(key) === turn) this.#filling.delete(key);
    }
  }

  async #make(path: string, key: string, wish: CacheMountWish, signal: AbortSignal): Promise<void> {
    const now = Date.now();
    const known = this.#facts.get(key);
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    // A crash between the folder and its record leaves one that is not filled.
    if (made !== undefined || known === undefined) {
      if (wish.seed) await this.#seed(path, wish.seed, signal);
      const { uid = 0, gid = 0, mode = MODE_DEFAULT } = wish;
      await this.#engine.native.run({
        host: [
          { op: "chown", path, uid, gid, nofollow: true },
          { op: "chmod", path, mode },
        ],
      });
    }
    this.#facts.put(key, {
      ...{ name: wish.id, createdAtMs: known?.createdAtMs ?? now, lastUsedAtMs: now },
      usageCount: (known?.usageCount ?? 0) + 1,
      ...(known?.sizeBytes !== undefined && { sizeBytes: known.sizeBytes }),
    });
  }

  async #seed(path: string, seed: CacheMountSeed, signal: AbortSignal): Promise<void> {
    const { files } = this.#engine;
    const tar = files.tar(seed.source, seed.path, { contents: true, signal });
    try {
      await files.untar(bindOf(path), "/", tar, { signal });
    } catch (error) {
      await this.#delete(path);
      throw error;
    }
  }

  async list(): Promise<CacheMountEntry[]> {
    return await Promise.all(this.#facts.all().map(([key, facts]) => this.#entry(key, facts)));
  }

  async #entry(key: string, { sizeBytes, ...facts }: MountFacts): Promise<CacheMountEntry> {
    const inUse = this.#users.has(key);
    const isKnown = sizeBytes !== undefined && !inUse;
    const size = isKnown ? sizeBytes : await this.#measure(key);
    return { ...facts, key, size, inUse };
  }

  async #measure(key: string): Promise<number> {
    const path = join(this.#root, key);
    return (await this.#engine.files.size(path).catch(() => ({ bytes: 0 }))).bytes;
  }

  /** By name, key or the beginning of a key. Throws not-found, or conflict where several fit. */
  async find(wanted: string): Promise<CacheMountEntry> {
    const all = this.#facts.all();
    const isDigits = wanted.length >= ID_DIGITS_MIN && /^[0-9a-f]+$/.test(wanted);
    const named = all.filter(([, { name }]) => name === wanted);
    const fits = isDigits ? all.filter(([key]) => key.startsWith(wanted)) : [];
    const found = named.length > 0 ? named : fits;
    if (found.length > 1) {
      const ids = found.map(([key]) => key.slice(0, 12)).join(", ");
      throw new GantryError("conflict", `several cache mounts fit ${wanted}: ${ids}`);
    }
    const [one] = found;
    if (one) return await this.#entry(...one);
    throw new GantryError("not-found", `no such cache mount: ${wanted}`);
  }

  /** Its files as a tar, the folder's own owner and mode as the entry ".". */
  async export(wanted: string, { signal }: Signal = {}): Promise<Readable> {
    const { key } = await this.find(wanted);
    this.#hold(key);
    const options = { name: ".", ...(signal && { signal }) };
    const tar = this.#engine.files.tar(bindOf(join(this.#root, key)), "/", options);
    tar.once("close", () => this.#letGo(key));
    return tar;
  }

  /** Makes the mount of a name what a tar (plain, gzip, zstd) holds; what it held goes. Commit
   * point: the folder takes its place. Throws conflict while a step uses it. */
  async import(name: string, tar: Readable, { signal }: Signal = {}): Promise<CacheMountEntry> {
    if (name === "" || name.length > NAME_CHARS_MAX) {
      throw new GantryError("invalid", "a cache mount needs a name");
    }
    const named = this.#facts.all().filter(([, facts]) => facts.name === name);
    const key = named.length === 1 ? named[0]![0] : keyOf(name);
    const refuseInUse = () => {
      if (!this.#users.has(key)) return;
      throw new GantryError("conflict", `the cache mount ${name} is in use`);
    };
    refuseInUse();
    const fresh = join(buildsFolder(this.#engine), `import-${keyOf(`${name} ${Math.random()}`)}`);
    await mkdir(fresh, { mode: 0o755 });
    try {
      const o = { withRoot: true, ...(signal && { signal }) };
      await this.#engine.files.untar(bindOf(fresh), "/", tar, o);
      refuseInUse();
      await this.#fillOnce(key, () => this.#replace(key, name, fresh));
    } finally {
      await this.#delete(fresh);
    }
    await this.#settle(key);
    return await this.find(key);
  }

  async #replace(key: string, name: string, fresh: string): Promise<void> {
    const path = join(this.#root, key);
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const now = Date.now();
    const createdAtMs = this.#facts.get(key)?.createdAtMs ?? now;
    const old = `${fresh}-old`;
    await rename(path, old).catch(() => {}); // there was none
    await rename(fresh, path);
    this.#facts.put(key, { name, createdAtMs, lastUsedAtMs: now, usageCount: 0 });
    await this.#delete(old);
  }

  /** Returns whether it is gone: one in use stays. */
  async remove(key: string): Promise<boolean> {
    if (this.#users.has(key)) return false;
    this.#facts.delete(key);
    // A step that comes now waits, and begins with a folder of its own.
    await this.#fillOnce(key, () => this.#delete(join(this.#root, key)));
    return true;
  }

  async #delete(path: string): Promise<void> {
    await removeTree(this.#engine, path);
  }
}

const keyOf = (name: string): string => hexOf(digestOf(name)).slice(0, KEY_DIGITS);
const bindOf = (path: string): RootSource => ({ kind: "mount", rootfs: { kind: "bind", path } });
