// Opens the stores beneath one root and ties them together: who uses which layer, leases, and
// what a crash left behind.

import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, type Logger, silentLogger } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { chainIds } from "../spec/index.ts";
import { BlobStore } from "./content-store.ts";
import type { Storage } from "./contract.ts";
import { Database } from "./database.ts";
import { ImageRecords } from "./image-store.ts";
import { PARTIAL_LIMITS, PartialFolders, type PartialLimits } from "./ingest-store.ts";
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS, UnpackedLayers } from "./layer-store.ts";
import { Leases } from "./leases.ts";
import { OverlaySnapshots } from "./snapshot-store.ts";
import { StoragePaths } from "./storage-paths.ts";
import { Trash } from "./trash.ts";

export interface StorageOptions {
  /** Absolute path; made if missing, mode 0700. */
  root: string;
  native: Native;
  log?: Logger;
  limits?: Partial<ArchiveLimits>;
  partialLimits?: Partial<PartialLimits>;
}

/** The concrete stores: a little more than the contract asks. */
export interface OpenStorage extends Storage {
  content: BlobStore;
  layers: UnpackedLayers;
  images: ImageRecords;
  snapshots: OverlaySnapshots;
  trash: Trash;
}

export async function openStorage(options: StorageOptions): Promise<OpenStorage> {
  const { native, log = silentLogger } = options;
  checkRoot(options.root);
  const paths = new StoragePaths(options.root);
  await makeFolders(native, paths, log);
  const database = new Database(paths.database);
  const content = new BlobStore(paths);
  const partials = new PartialFolders(paths, { ...PARTIAL_LIMITS, ...options.partialLimits });
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, ...options.limits };
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const trash = new Trash(native, paths, log);
  const together = { content, limits, log, bootId, trash };
  const layers = new UnpackedLayers(native, paths, database, together);
  const snapshots = new OverlaySnapshots(native, paths, database, { layers, trash });
  const leases = new Leases(collectLeased);
  const inUse = () => new Set([...snapshots.layersInUse(), ...leases.digests(), ...layers.held()]);
  const images = new ImageRecords(database, content, layers, { inUse, log });
  // An image may have been removed while a container still stood on its layers.
  snapshots.onRemoved = async (diffIds) => {
    await images.collect(diffIds);
    await snapshots.dropInits(topChains());
  };
  images.onRemoved = () => snapshots.dropInits(topChains());

  const topChains = () =>
    new Set(images.list().map(({ config }) => chainIds(config.rootfs.diff_ids).at(-1) ?? ""));

  async function collectBlob(digest: string): Promise<void> {
    const unless = () => images.needsBlob(digest) || layers.keepsBlob(digest);
    await content.remove(digest, { unless });
  }

  /** What a lease held and nothing needs now; the rest of the store is not walked. */
  async function collectLeased(digests: readonly string[]): Promise<void> {
    try {
      await images.collect(digests);
      for (const digest of digests) await collectBlob(digest);
    } catch (error) {
      log.warn("cannot delete what a transfer left", { error });
    }
  }

  async function collect(): Promise<{ layers: string[]; bytes: number }> {
    const sizes = new Map(layers.list().map((layer) => [layer.diffId, layer.size]));
    const removed = await images.collect(sizes.keys());
    for await (const digest of content.list()) await collectBlob(digest);
    await snapshots.dropInits(topChains());
    return {
      layers: removed,
      bytes: removed.reduce((sum, diffId) => sum + (sizes.get(diffId) ?? 0), 0),
    };
  }

  return {
    content,
    partials,
    layers,
    images,
    snapshots,
    trash,
    records: database,
    lease: (digests = []) => leases.take(digests),
    collectLayers: (diffIds) => images.collect(diffIds),
    collect,
    async reconcile({ snapshotIds }) {
      for (const name of await readdir(paths.ingest)) await rm(join(paths.ingest, name));
      await partials.expire();
      await layers.reconcile();
      await snapshots.reconcile(snapshotIds, topChains());
      await collect();
      await trash.empty();
    },
    async close() {
      partials.close();
      await leases.close();
      await layers.settled();
      await trash.close();
      database.close();
    },
  };
}

function checkRoot(root: string): void {
  if (root.startsWith("/") && !/[\n,]/.test(root)) return;
  const message = `Bad storage root ${JSON.stringify(root)}: want an absolute path`;
  throw new GantryError("invalid", message);
}

async function makeFolders(native: Native, paths: StoragePaths, log: Logger): Promise<void> {
  await mkdir(paths.root, { recursive: true, mode: 0o711 });
  for (const folder of paths.folders()) await mkdir(folder, { recursive: true, mode: 0o700 });
  await spreadFolders(native, paths).catch((error) =>
    log.warn("cannot spread the layers over the disk: unpacking may be slow", { error }),
  );
}

/** Files of a layer lie together, and not where others have just been deleted (ext4). */
async function spreadFolders(native: Native, paths: StoragePaths): Promise<void> {
  const folders = [paths.layers, paths.containers, paths.inits];
  await native.run({ host: folders.map((path) => ({ op: "spreadFolders", path })) });
}
