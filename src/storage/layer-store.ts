// Unpacked layers, one copy of each, keyed by diff id (the digest of the uncompressed tar). The
// tar flows through this process only to be hashed; a native process that has entered the new
// folder unpacks it and writes the split, from which the exact tar can be made again.
//
// Crash safety: the folder comes first, the row last. A folder without a row is rubbish, and
// reconcile() removes it. A row says until when its files are only in memory: after a power cut
// (another boot id) such a layer is forgotten; a sync follows in the background when no more come.

import { mkdir, readdir, rename, statfs } from "node:fs/promises";
import type { Readable } from "node:stream";
import { errnoOf, GantryError, KeyedMutex, type Logger } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import { algorithmOf, type DiskImage } from "../spec/index.ts";
import { ARCHIVE, O } from "./archive-flags.ts";
import { type BlobStore, noSpace } from "./content-store.ts";
import type { Descriptor, Layer, LayerStore, Lease } from "./contract.ts";
import type { Database } from "./database.ts";
import { HashMeter } from "./hash-meter.ts";
import { LayerBlobs } from "./layer-blobs.ts";
import { LayerSync } from "./layer-sync.ts";
import { archiveError, readOutput, runWithInput } from "./native-streams.ts";
import { openUpper } from "./overlay-mount.ts";
import { rowsOf } from "./rows.ts";
import { sealUpper } from "./seal-upper.ts";
import type { StoragePaths } from "./storage-paths.ts";
import type { Trash } from "./trash.ts";

export interface ArchiveLimits {
  entriesMax: number;
  /** Of unpacked content; what is free on the disk, less the reserve, is a limit too. */
  bytesMax: number;
  diskReserveBytes: number;
}
export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  entriesMax: 20_000_000,
  bytesMax: 4 * 2 ** 40,
  diskReserveBytes: 64 * 2 ** 20,
};

/** How long the layers of an interrupted pull wait for the next try. */
const heldMsMax = 24 * 3600 * 1000;

/** With more than this free, nobody waits for what is being deleted. */
const roomyBytes = 16 * 2 ** 30;

type ApplyOptions = {
  diffId?: string;
  lease?: Lease;
  signal?: AbortSignal;
  twin?: { diffId: string; same: Uint8Array };
};
type LayerRow = {
  diff_id: string;
  short_id: string;
  size: number;
  tar_size: number;
  opaque_root: number;
  unsynced_boot: string;
};
/** Slot of an older layer's folder. */
const TWIN = 3;
const openTwin = (path: string): Operation => ({
  ...({ op: "open", path, flags: O.path | O.directory, to: TWIN } as const),
});

export class UnpackedLayers implements LayerStore {
  #native: Native;
  #paths: StoragePaths;
  #database: Database;
  #blobs: LayerBlobs;
  #limits: ArchiveLimits;
  #log: Logger;
  #layers = new Map<string, Layer>();
  #opaqueRoots = new Set<string>();
  #busy = new Set<string>();
  #mutex = new KeyedMutex();
  #bootId: string;
  #sync: LayerSync;
  #trash: Trash;

  constructor(
    native: Native,
    paths: StoragePaths,
    database: Database,
    {
      content,
      limits,
      log,
      bootId,
      trash,
    }: { content: BlobStore; limits: ArchiveLimits; log: Logger; bootId: string; trash: Trash },
  ) {
    this.#blobs = new LayerBlobs(database, content);
    this.#native = native;
    this.#paths = paths;
    this.#database = database;
    this.#limits = limits;
    this.#log = log;
    this.#bootId = bootId;
    this.#trash = trash;
    this.#sync = new LayerSync(native, paths, database, log);
    this.#sync.forgetLost(bootId);
    const rows = rowsOf<LayerRow>(database.sql, "SELECT * FROM layers");
    for (const row of rows) this.#remember(row);
    if (rows.some((row) => row.unsynced_boot !== "")) this.#sync.soon();
  }

  /** Brings every layer to the disk now; resolves when they are there. */
  settled(): Promise<void> {
    return this.#sync.settled();
  }

  #remember(row: LayerRow): Layer {
    const layer: Layer = {
      diffId: row.diff_id,
      shortId: row.short_id,
      dir: this.#paths.layerDiff(row.short_id),
      size: row.size,
      tarSize: row.tar_size,
    };
    this.#layers.set(layer.diffId, layer);
    if (row.opaque_root !== 0) this.#opaqueRoots.add(layer.diffId);
    return layer;
  }

  async apply(tar: Readable, options: ApplyOptions = {}): Promise<Layer> {
    const { diffId, lease, signal } = options;
    tar.on("error", () => {}); // looked at when its bytes are wanted; never "unhandled" before
    if (diffId === undefined) return this.#unpack(tar, options);
    lease?.add(diffId);
    return this.#mutex.run(diffId, async () => {
      const known = this.#layers.get(diffId);
      if (known === undefined) return this.#unpack(tar, options);
      for await (const _ of tar) signal?.throwIfAborted();
      return known;
    });
  }

  async #unpack(
    tar: Readable,
    { diffId, lease, signal, anew, twin: older }: ApplyOptions & { anew?: boolean },
  ): Promise<Layer> {
    const shortId = this.#database.nextShortId();
    this.#busy.add(shortId);
    try {
      await mkdir(this.#paths.layerDiff(shortId), { recursive: true, mode: 0o755 });
      const row = await this.#fill(shortId, tar, {
        algorithm: diffId === undefined ? "sha256" : algorithmOf(diffId),
        ...(signal ? { signal } : {}),
        ...(older && { twin: older }),
      });
      if (diffId !== undefined && row.diff_id !== diffId) {
        const message = `Layer has digest ${row.diff_id}, want ${diffId}`;
        throw new GantryError("corrupt", message, { detail: { want: diffId, got: row.diff_id } });
      }
      lease?.add(row.diff_id);
      const twin = this.#layers.get(row.diff_id);
      if (twin === undefined || anew) return this.#record(row);
      await this.#discard(shortId);
      return twin;
    } catch (error) {
      await this.#discard(shortId).catch((failure) =>
        this.#log.warn("cannot remove a half-made layer", { shortId, error: failure }),
      );
      await this.#trash.settled(); // the disk may have been full
      throw error;
    } finally {
      this.#busy.delete(shortId);
    }
  }

  async #fill(
    shortId: string,
    tar: Readable,
    { algorithm, signal, twin }: Pick<ApplyOptions, "signal" | "twin"> & { algorithm: string },
  ): Promise<LayerRow> {
    const older = twin && this.#layers.get(twin.diffId);
    const limits = await this.#limitsNow();
    if (tar.errored) throw archiveError(tar.errored);
    const meter = new HashMeter(algorithm);
    tar.once("error", (error) => meter.destroy(error));
    const results = await runWithInput(
      this.#native,
      tar.pipe(meter),
      ({ path, token }) => [
        { op: "open", path: this.#paths.layerDiff(shortId), flags: O.path | O.directory, to: 0 },
        {
          op: "open",
          path: this.#paths.layerSplit(shortId),
          flags: O.rdwr | O.creat | O.excl,
          mode: 0o600,
          to: 1,
        },
        { op: "connect", path, token, to: 2 },
        ...(older ? [openTwin(older.dir)] : []),
        { op: "chroot", slot: 0 },
        {
          op: "untar",
          root: 0,
          from: 2,
          split: 1,
          flags: ARCHIVE.layer,
          maxBytes: limits.bytesMax,
          maxEntries: limits.entriesMax,
          ...(older && { twin: TWIN, same: twin.same }),
        },
      ],
      signal ? { signal } : {},
    )
      .catch((error) => {
        const full = errnoOf(error) === "EFBIG" && limits.bytesMax < this.#limits.bytesMax;
        throw full ? noSpace(error) : error;
      })
      .finally(() => tar.unpipe(meter).destroy());
    const [, size, opaqueRoot] = results.ints(older ? 5 : 4);
    return {
      diff_id: meter.digest(),
      short_id: shortId,
      size: Number(size),
      tar_size: meter.bytes,
      opaque_root: Number(opaqueRoot),
      unsynced_boot: this.#bootId,
    };
  }

  /** A bomb must not fill the disk: what is free now, less a reserve, is the most. */
  async #limitsNow(): Promise<{ bytesMax: number; entriesMax: number }> {
    let disk = await statfs(this.#paths.layers);
    if (disk.bavail * disk.bsize < roomyBytes) {
      await this.#trash.settled(); // what has just been removed makes room
      disk = await statfs(this.#paths.layers);
    }
    const reserve = Math.min(this.#limits.diskReserveBytes, (disk.blocks * disk.bsize) / 50);
    const free = Math.max(1, Math.floor(disk.bavail * disk.bsize - reserve));
    return {
      bytesMax: Math.min(this.#limits.bytesMax, free),
      entriesMax: this.#limits.entriesMax,
    };
  }

  #record(row: LayerRow): Layer {
    this.#database.sql
      .prepare("INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?)")
      .run(row.diff_id, row.short_id, row.size, row.tar_size, row.opaque_root, row.unsynced_boot);
    this.#sync.soon();
    return this.#remember(row);
  }

  async capture(
    upper: string | { upperDir: string; disk?: DiskImage },
    options: { lease?: Lease; signal?: AbortSignal } = {},
  ): Promise<Layer> {
    const { signal } = options;
    const tar = readOutput(
      this.#native,
      ({ path, token }) => [
        ...openUpper(typeof upper === "string" ? { upperDir: upper } : upper, 0),
        { op: "connect", path, token, to: 1 },
        { op: "chroot", slot: 0 },
        { op: "tarUpper", root: 0, to: 1 },
      ],
      signal ? { signal } : {},
    );
    return this.apply(tar, options);
  }

  async adopt(
    upperDir: string,
    options: { lease?: Lease; signal?: AbortSignal } = {},
  ): Promise<Layer> {
    const { lease } = options;
    const shortId = this.#database.nextShortId();
    let isLayer = false;
    this.#busy.add(shortId);
    try {
      await mkdir(this.#paths.layer(shortId), { mode: 0o755 });
      const split = this.#paths.layerSplit(shortId);
      const sealed = await sealUpper(this.#native, upperDir, split, options);
      if (sealed === undefined) return await this.capture(upperDir, options);
      lease?.add(sealed.diff_id);
      return await this.#mutex.run(sealed.diff_id, async () => {
        const twin = this.#layers.get(sealed.diff_id);
        if (twin !== undefined) return twin;
        await rename(upperDir, this.#paths.layerDiff(shortId));
        const row = { ...sealed, short_id: shortId, unsynced_boot: this.#bootId };
        const layer = this.#record(row);
        isLayer = true;
        return layer;
      });
    } finally {
      if (!isLayer) await this.#discard(shortId);
      this.#busy.delete(shortId);
    }
  }

  hold(diffId: string): void {
    this.#blobs.hold(diffId, Date.now() + heldMsMax);
  }
  unhold(diffIds: Iterable<string>): void {
    this.#blobs.unhold(diffIds);
  }
  /** Layers that wait for an interrupted pull to go on. */
  held(): string[] {
    return this.#blobs.held(Date.now());
  }

  /** Unpacks a damaged layer once more from its tar; the old files go. The caller knows that no
   * running container has them mounted. */
  async replace(diffId: string, tar: Readable, options: ApplyOptions = {}): Promise<Layer> {
    tar.on("error", () => {});
    return this.#mutex.run(diffId, async () => {
      const old = this.#layers.get(diffId);
      const layer = await this.#unpack(tar, { ...options, diffId, anew: true });
      if (old) await this.#discard(old.shortId);
      return layer;
    });
  }

  get(diffId: string): Layer | undefined {
    return this.#layers.get(diffId);
  }

  /** Whether the layer hides everything beneath it (an opaque root). */
  hidesLower(diffId: string): boolean {
    return this.#opaqueRoots.has(diffId);
  }

  async tar(diffId: string): Promise<Readable> {
    const layer = this.#layers.get(diffId);
    if (layer === undefined) throw new GantryError("not-found", `No such layer: ${diffId}`);
    const raw = readOutput(this.#native, ({ path, token }) =>
      this.#rebuildPlan(layer, path, token),
    );
    const meter = new HashMeter(algorithmOf(diffId), () => {
      const got = meter.digest();
      if (got === diffId) return;
      throw new GantryError("corrupt", `Layer ${diffId} is damaged on disk: it gives ${got}`);
    });
    raw.once("error", (error) => meter.destroy(error));
    meter.once("close", () => raw.destroy());
    return raw.pipe(meter);
  }

  #rebuildPlan(layer: Layer, path: string, token: Uint8Array): Operation[] {
    const split = this.#paths.layerSplit(layer.shortId);
    return [
      { op: "open", path: layer.dir, flags: O.path | O.directory, to: 0 },
      { op: "open", path: split, flags: O.rdonly, to: 1 },
      { op: "connect", path, token, to: 2 },
      { op: "chroot", slot: 0 },
      { op: "untarRebuild", root: 0, split: 1, to: 2 },
    ];
  }

  list(): Layer[] {
    return [...this.#layers.values()];
  }

  /** Forgets and deletes layers; the caller knows that nothing uses them. They are gone for
   * everybody when this returns to the event loop; what their files took is free a little later. */
  async remove(...diffIds: readonly string[]): Promise<void> {
    const doomed = diffIds.flatMap((diffId) => this.#layers.get(diffId) ?? []);
    if (doomed.length === 0) return;
    const kept = doomed.flatMap(({ diffId }) => this.#blobs.kept(diffId));
    const row = this.#database.sql.prepare("DELETE FROM layers WHERE diff_id = ?");
    const forget = () => {
      for (const { diffId } of doomed) {
        row.run(diffId);
        this.#blobs.forgetLayer(diffId);
      }
    };
    this.#database.free(() => this.#database.transaction(forget));
    for (const { diffId } of doomed) {
      this.#layers.delete(diffId);
      this.#opaqueRoots.delete(diffId);
    }
    await Promise.all(doomed.map(({ shortId }) => this.#discard(shortId)));
    for (const { digest } of kept) await this.#blobs.dropBytes(digest);
  }

  #discard(shortId: string): Promise<void> {
    return this.#trash.take(this.#paths.layer(shortId));
  }

  /** Removes folders that no row speaks of: layers half made or half deleted by a crash. */
  async reconcile(): Promise<void> {
    this.#blobs.reconcile();
    const known = new Set([...this.#layers.values()].map((layer) => layer.shortId));
    for (const name of await readdir(this.#paths.layers)) {
      if (!known.has(name) && !this.#busy.has(name)) await this.#discard(name);
    }
  }

  noteBlob(diffId: string, blob: Descriptor): void {
    this.#blobs.note(diffId, blob);
  }
  blobs(diffId: string): Descriptor[] {
    return this.#blobs.of(diffId);
  }
  keepBlob(digest: string): void {
    this.#blobs.keep(digest);
  }
  keptBlobs(diffId: string): Descriptor[] {
    return this.#blobs.kept(diffId);
  }
  dropBlob(digest: string): Promise<void> {
    return this.#blobs.drop(digest);
  }
  noteSource(blobDigest: string, repository: string): void {
    this.#blobs.noteSource(blobDigest, repository);
  }
  sources(blobDigest: string): string[] {
    return this.#blobs.sources(blobDigest);
  }
  forgetSource(blobDigest: string, repository: string): void {
    this.#blobs.forgetSource(blobDigest, repository);
  }
  /** Whether a layer that is here wants the blob's bytes kept. */
  keepsBlob(digest: string): boolean {
    return this.#blobs.keeps(digest);
  }

  /** The layer that a compressed or plain blob unpacks to, if it is here. */
  byBlob(digest: string): Layer | undefined {
    return this.#layers.get(this.#blobs.diffIdOf(digest) ?? digest);
  }
}
