// The writable root file systems of containers: an upper and a work folder each, over the init
// layer and the image's layers. Mounting is the runtime's part.

import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { errnoOf, GantryError, KeyedMutex } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import { chainIds, type RootfsMount } from "../spec/index.ts";
import type { SnapshotStore } from "./contract.ts";
import type { Database } from "./database.ts";
import { makeInitLayer, makeLike } from "./init-layer.ts";
import type { UnpackedLayers } from "./layer-store.ts";
import { LimitedSnapshots } from "./limited-snapshot.ts";
import { openUpper } from "./overlay-mount.ts";
import { diskImage, type SizeLimit, SizeLimits } from "./quota.ts";
import { rowsOf } from "./rows.ts";
import type { StoragePaths } from "./storage-paths.ts";
import type { Trash } from "./trash.ts";

type Snapshot = { diffIds: string[]; init: string; volatile: boolean; limit?: SizeLimit };
type SnapshotRow = {
  id: string;
  diff_ids: string;
  init: string;
  is_volatile: number;
  size_limit: string;
};
/** The short id of an init layer that no container has needed yet. */
const NOT_MADE_YET = "(new)";
type OverlayMount = Extract<RootfsMount, { kind: "overlay" }>;

export class OverlaySnapshots implements SnapshotStore {
  #native: Native;
  #paths: StoragePaths;
  #database: Database;
  #layers: UnpackedLayers;
  #limited: LimitedSnapshots;
  #trash: Trash;
  #snapshots = new Map<string, Snapshot>();
  #inits = new Map<string, string>();
  #mutex = new KeyedMutex();
  /** Layers of snapshots that are being made. */
  #preparing = new Set<readonly string[]>();
  /** One at a time makes or removes the files of an id. */
  #ids = new KeyedMutex();
  /** Called with the layers of a snapshot that has been removed. */
  onRemoved: (diffIds: readonly string[]) => Promise<void> = async () => {};

  constructor(
    native: Native,
    paths: StoragePaths,
    database: Database,
    { layers, trash }: { layers: UnpackedLayers; trash: Trash },
  ) {
    this.#native = native;
    this.#trash = trash;
    this.#paths = paths;
    this.#database = database;
    this.#layers = layers;
    this.#limited = new LimitedSnapshots(native, paths, new SizeLimits(native));
    const rows = rowsOf<SnapshotRow>(database.sql, "SELECT * FROM snapshots");
    for (const row of rows) {
      this.#snapshots.set(row.id, {
        diffIds: JSON.parse(row.diff_ids) as string[],
        init: row.init,
        volatile: row.is_volatile !== 0,
        ...(row.size_limit !== "" && { limit: JSON.parse(row.size_limit) as SizeLimit }),
      });
    }
    const inits = rowsOf<{ key: string; short_id: string }>(
      database.sql,
      "SELECT key, short_id FROM inits",
    );
    for (const { key, short_id } of inits) this.#inits.set(key, short_id);
  }

  async prepare(
    id: string,
    diffIds: readonly string[],
    {
      volatile = false,
      bare = false,
      sizeBytes,
    }: { volatile?: boolean; bare?: boolean; sizeBytes?: number } = {},
  ): Promise<OverlayMount> {
    if (!/^[A-Za-z0-9][\w.-]*$/.test(id)) throw new GantryError("invalid", `Bad snapshot id ${id}`);
    this.#preparing.add(diffIds);
    try {
      return await this.#ids.run(id, async () => {
        if (this.#snapshots.has(id)) throw new GantryError("conflict", `Snapshot ${id} exists`);
        return await this.#make(id, diffIds, { volatile, bare, sizeBytes });
      });
    } finally {
      this.#preparing.delete(diffIds);
    }
  }

  async #make(
    id: string,
    diffIds: readonly string[],
    { volatile, bare, sizeBytes }: { volatile: boolean; bare: boolean; sizeBytes?: number },
  ): Promise<OverlayMount> {
    // An overlay needs something beneath it.
    const init = bare && diffIds.length > 0 ? "" : await this.#init(diffIds);
    const upper = this.#paths.upper(id);
    await mkdir(this.#paths.work(id), { recursive: true, mode: 0o700 });
    await makeLike(upper, this.#beneath(init, diffIds)[0]!);
    const limit = sizeBytes === undefined ? undefined : await this.#limited.create(id, sizeBytes);
    const snapshot: Snapshot = { diffIds: [...diffIds], init, volatile, ...(limit && { limit }) };
    this.#put(id, snapshot);
    return this.#mount(id, snapshot);
  }

  #put(id: string, snapshot: Snapshot): void {
    const { diffIds, init, volatile, limit } = snapshot;
    this.#database.sql
      .prepare("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)")
      .run(id, JSON.stringify(diffIds), init, volatile ? 1 : 0, limit ? JSON.stringify(limit) : "");
    this.#snapshots.set(id, snapshot);
  }

  limitOf(id: string): SizeLimit | undefined {
    return this.#snapshots.get(id)?.limit;
  }

  /** Changes the size limit, also while the container runs. Commit point: the kernel has it. */
  async resize(id: string, bytes: number): Promise<void> {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) throw new GantryError("not-found", `No such snapshot: ${id}`);
    if (!snapshot.limit) {
      throw new GantryError(
        "conflict",
        "a container that was made without a size limit cannot get one: make it anew",
      );
    }
    const limit = await this.#limited.resize(id, snapshot.limit, bytes);
    this.#put(id, { ...snapshot, limit });
  }

  #mount(id: string, snapshot: Snapshot): OverlayMount {
    return {
      kind: "overlay",
      lowerDirs: this.#beneath(snapshot.init, snapshot.diffIds),
      ...this.#writable(id, snapshot),
      ...(snapshot.volatile ? { volatile: true } : {}),
    };
  }

  /** `init`: "" where there is no init layer. */
  #beneath(init: string, diffIds: readonly string[]): string[] {
    const layers = this.#lowerDirs(diffIds);
    return init === "" ? layers : [`${this.#paths.init(init)}/fs`, ...layers];
  }

  #writable(id: string, { limit }: Snapshot) {
    if (limit?.kind !== "image") {
      return { upperDir: this.#paths.upper(id), workDir: this.#paths.work(id) };
    }
    const image = this.#paths.disk(id);
    return {
      upperDir: `${image}/fs`,
      workDir: `${image}/work`,
      disk: diskImage(image, limit),
    };
  }

  /** Top first; what an opaque root hides is left out, since overlay does not look at it. A layer
   * that is there twice (two steps that changed nothing) counts where it is higher: what it says
   * there hides what it says below, and overlay takes a folder once. */
  #lowerDirs(diffIds: readonly string[]): string[] {
    const dirs: string[] = [];
    for (const diffId of diffIds.toReversed()) {
      const layer = this.#layers.get(diffId);
      if (layer === undefined) throw new GantryError("not-found", `No such layer: ${diffId}`);
      if (!dirs.includes(layer.dir)) dirs.push(layer.dir);
      if (this.#layers.hidesLower(diffId)) break;
    }
    return dirs;
  }

  /** The short id of the init layer over these layers; made on first use. */
  async #init(diffIds: readonly string[]): Promise<string> {
    const key = initKey(diffIds);
    return (
      this.#inits.get(key) ??
      this.#mutex.run(key, async () => {
        const known = this.#inits.get(key);
        if (known !== undefined) return known;
        const shortId = this.#database.nextShortId();
        await mkdir(this.#paths.init(shortId), { mode: 0o700 });
        const lowerDirs = this.#lowerDirs(diffIds);
        const scratch = this.#paths.trashEntry();
        await makeInitLayer(this.#native, lowerDirs, this.#paths.init(shortId), scratch);
        this.#database.sql.prepare("INSERT INTO inits VALUES (?, ?)").run(key, shortId);
        this.#inits.set(key, shortId);
        return shortId;
      })
    );
  }

  lowerDirs(diffIds: readonly string[]): string[] {
    return this.#lowerDirs(diffIds);
  }

  get(id: string): OverlayMount | undefined {
    const snapshot = this.#snapshots.get(id);
    return snapshot && this.#mount(id, snapshot);
  }

  preview(
    id: string,
    diffIds: readonly string[],
    { volatile = false }: { volatile?: boolean } = {},
  ): OverlayMount {
    const init = this.#inits.get(initKey(diffIds)) ?? NOT_MADE_YET;
    return this.#mount(id, { diffIds: [...diffIds], init, volatile });
  }

  /** The layers beneath a snapshot, bottom first. */
  diffIds(id: string): readonly string[] {
    return this.#snapshots.get(id)?.diffIds ?? [];
  }

  /** Gives a snapshot a fresh work folder: a volatile overlay cannot be mounted twice with one. */
  async renew(id: string): Promise<OverlayMount> {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) throw new GantryError("not-found", `No such snapshot: ${id}`);
    if (snapshot.volatile && snapshot.limit?.kind === "image") {
      await this.#limited.renew(id, snapshot.limit);
    } else if (snapshot.volatile) {
      await this.#discard([this.#paths.work(id)]);
      await mkdir(this.#paths.work(id), { mode: 0o700 });
      const { limit } = snapshot;
      if (limit) await this.#limited.adopt(this.#paths.work(id), limit);
    }
    return this.#mount(id, snapshot);
  }

  async remove(id: string): Promise<void> {
    const removed = await this.#ids.run(id, () => this.#remove(id));
    if (removed) await this.onRemoved(removed.diffIds);
  }

  async #remove(id: string): Promise<Snapshot | undefined> {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) return undefined;
    // The files first: they are what makes room, and boot removes a row whose container is gone.
    if (snapshot.limit) {
      // Their project is another's from now on: nothing of them may be left.
      await this.#limited.release(id, snapshot.limit);
      await this.#discard([this.#paths.upper(id), this.#paths.work(id)]);
    } else {
      await this.#trash.take(this.#paths.upper(id));
      await this.#trash.take(this.#paths.work(id));
    }
    const row = this.#database.sql.prepare("DELETE FROM snapshots WHERE id = ?");
    this.#database.free(() => row.run(id));
    this.#snapshots.delete(id);
    await this.#forgetFolder(id);
    return snapshot;
  }

  /** Removes the container's folder if nothing of the engine's is in it. */
  async #forgetFolder(id: string): Promise<void> {
    await rmdir(this.#paths.container(id)).catch((error) => {
      if (!["ENOENT", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) throw error;
    });
  }

  async #discard(paths: string[]): Promise<void> {
    const doomed: string[] = [];
    for (const path of paths) {
      const trash = this.#paths.trashEntry();
      try {
        await rename(path, trash);
        doomed.push(trash);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    if (doomed.length === 0) return;
    await this.#native.run({
      host: doomed.map((path) => ({ op: "removeTree", path, missingOk: true })),
    });
  }

  async usage(id: string): Promise<{ bytes: number; inodes: number }> {
    const rootfs = this.get(id);
    if (rootfs === undefined) throw new GantryError("not-found", `No such snapshot: ${id}`);
    const host: Operation[] = [...openUpper(rootfs, 0), { op: "treeSize", root: 0 }];
    const results = await this.#native.run({ host });
    const [bytes, inodes] = results.ints(host.length - 1);
    return { bytes: Number(bytes), inodes: Number(inodes) };
  }

  list(): string[] {
    return [...this.#snapshots.keys()];
  }

  /** Layers that some snapshot stands on. */
  layersInUse(): Set<string> {
    const made = [...this.#snapshots.values()].map(({ diffIds }) => diffIds);
    return new Set([...made, ...this.#preparing].flat());
  }

  /** Removes snapshots that no container has, folders without a row, and unused init layers. */
  async reconcile(live: ReadonlySet<string>, chains: ReadonlySet<string>): Promise<void> {
    for (const id of this.list()) {
      if (!live.has(id)) await this.remove(id);
      else if (this.limitOf(id)?.kind === "image") await this.#limited.recover(id);
    }
    for (const name of await readdir(this.#paths.containers)) {
      if (this.#snapshots.has(name)) continue;
      await this.#discard([this.#paths.upper(name), this.#paths.work(name)]);
      await rm(this.#paths.disk(name), { force: true });
      await this.#forgetFolder(name);
    }
    await this.dropInits(chains);
    const known = new Set(this.#inits.values());
    for (const name of await readdir(this.#paths.inits)) {
      if (!known.has(name)) await this.#discard([this.#paths.init(name)]);
    }
  }

  /** Deletes init layers of images that are gone. `chains`: top chain ids of stored images. */
  async dropInits(chains: ReadonlySet<string>): Promise<void> {
    const used = new Set([...this.#snapshots.values()].map(({ init }) => init));
    for (const diffIds of this.#preparing) used.add(this.#inits.get(initKey(diffIds)) ?? "");
    for (const [key, shortId] of [...this.#inits]) {
      if (key === "scratch" || chains.has(key) || used.has(shortId)) continue;
      const row = this.#database.sql.prepare("DELETE FROM inits WHERE key = ?");
      this.#database.free(() => row.run(key));
      this.#inits.delete(key);
      await this.#discard([this.#paths.init(shortId)]);
    }
  }
}

/** Which init layer a stack of layers has; "scratch" is that of no layers. */
function initKey(diffIds: readonly string[]): string {
  return chainIds(diffIds).at(-1) ?? "scratch";
}
