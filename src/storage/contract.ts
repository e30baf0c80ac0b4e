// What the engine may ask of storage. Everything on disk lives beneath one root; storage-paths.ts
// draws the tree and alone produces paths.

import type { Readable } from "node:stream";
import type { DiskImage, ImageConfigDocument, RootfsMount } from "../spec/index.ts";
import type { SizeLimit } from "./quota.ts";

export type Descriptor = { mediaType: string; digest: string; size: number };

/** Content-addressed blobs. A blob is visible only whole and verified. */
export interface ContentStore {
  put(
    source: AsyncIterable<Uint8Array> | Uint8Array,
    expected?: { digest?: string; size?: number },
  ): Promise<{ digest: string; size: number }>;
  /** Throws not-found, or corrupt when the bytes do not match. For small blobs (≤ 8 MiB). */
  read(digest: string): Promise<Uint8Array>;
  open(digest: string): Promise<Readable>;
  has(digest: string): Promise<boolean>;
  remove(digest: string): Promise<void>;
  /** Takes a damaged blob out of sight; a few are kept for a look. */
  setAside(digest: string): Promise<void>;
}

/** A blob of which some runs of bytes have come. Nothing here is verified. */
export interface PartialBlob extends AsyncDisposable {
  /** What was there when it was opened: in order, never overlapping. */
  readonly parts: readonly { start: number; length: number }[];
  /** Adds bytes at the end of the part that begins at `start`. */
  append(start: number, chunks: readonly Uint8Array[]): Promise<void>;
  /** Nothing more comes for this part now. */
  endPart(start: number): Promise<void>;
  /** Reads from a part, at an offset within it; returns how many bytes. */
  read(start: number, offset: number, buffer: Uint8Array): Promise<number>;
  removePart(start: number): Promise<void>;
  /** Removes every byte; it can be filled again. */
  discard(): Promise<void>;
}
/** Transfers that can be gone on with after a restart, for a day. Never content. */
export interface PartialBlobs {
  /** One user at a time. Throws exhausted when the rest cannot fit on the disk. */
  open(digest: string, size: number): Promise<PartialBlob>;
  /** Bytes of what nobody is transferring now. */
  restingBytes(): Promise<number>;
  /** Removes what nobody is transferring now, and was not touched after `untilMs` where that is
   * given; returns its bytes. */
  clear(o?: { untilMs?: number | undefined }): Promise<number>;
}

/** Keeps digests from garbage collection until released. What is stored under a lease is added
 * to it before anyone could collect it. */
export interface Lease {
  add(digest: string): void;
  /** Resolves, never rejects, when what nothing else needs has been deleted. */
  release(): Promise<void>;
}

/** An unpacked layer, one copy however many images share it, keyed by diff id. */
export interface Layer {
  diffId: string; // sha256 of the uncompressed tar
  shortId: string; // the name of its folder
  dir: string; // absolute path of the unpacked tree, overlay format
  size: number; // bytes of file content
  tarSize: number; // bytes of the uncompressed tar
}
export interface LayerStore {
  /** Unpacks an uncompressed tar in a chrooted native process while its digest is computed.
   * A layer that is there already is not unpacked twice. Throws corrupt on a digest mismatch. */
  apply(
    tar: Readable,
    options?: {
      diffId?: string;
      lease?: Lease;
      signal?: AbortSignal;
      /** Files of an older layer that this one has again, under the same names, with the same
       * content: a bit for each regular file of the tar, in its order. They share their inodes. */
      twin?: { diffId: string; same: Uint8Array };
    },
  ): Promise<Layer>;
  /** Unpacks a layer that is damaged on disk once more; the old files go. The caller knows that no
   * running container has them mounted. */
  replace(
    diffId: string,
    tar: Readable,
    options?: { lease?: Lease; signal?: AbortSignal },
  ): Promise<Layer>;
  /** Turns a container's upper folder into a layer (commit). */
  capture(
    upper: string | { upperDir: string; disk?: DiskImage },
    options?: { lease?: Lease; signal?: AbortSignal },
  ): Promise<Layer>;
  /** Makes an upper folder that nothing uses any more a layer: the folder is moved, not copied,
   * unless a layer of that content is there. What is left of it is the caller's to remove. */
  adopt(upperDir: string, options?: { lease?: Lease; signal?: AbortSignal }): Promise<Layer>;
  get(diffId: string): Layer | undefined;
  /** Keeps a layer that no image uses yet, for the next try of an interrupted pull; a day. */
  hold(diffId: string): void;
  /** Ends what hold() began. */
  unhold(diffIds: Iterable<string>): void;
  /** The layers that are kept so. */
  held(): string[];
  /** The layer that a blob (compressed or not) is known to unpack to. */
  byBlob(digest: string): Layer | undefined;
  /** Notes that a blob is a compressed form of a layer. */
  noteBlob(diffId: string, blob: Descriptor): void;
  blobs(diffId: string): Descriptor[];
  /** Keeps a blob of the content store, a form that noteBlob() named, as long as its layer. */
  keepBlob(digest: string): void;
  /** The blobs of a layer whose bytes are in the content store. */
  keptBlobs(diffId: string): Descriptor[];
  /** Lets go of a kept blob's bytes: they can be had elsewhere, or made again. */
  dropBlob(digest: string): Promise<void>;
  /** Notes that a repository ("docker.io/library/alpine") holds a blob. */
  noteSource(blobDigest: string, repository: string): void;
  /** Repositories that are known to hold a blob, the latest first. */
  sources(blobDigest: string): string[];
  /** The repository was asked and does not hold the blob. */
  forgetSource(blobDigest: string, repository: string): void;
  /** The exact bytes of the layer's tar. */
  tar(diffId: string): Promise<Readable>;
  list(): Layer[];
}

export interface StoredImage {
  id: string; // digest of the raw config
  config: ImageConfigDocument;
  rawConfig: Uint8Array;
  manifest?: Descriptor; // of the stored manifest, when it came with one
  documents: Descriptor[]; // every manifest and index that it came by; all are in the content store
  layers: Layer[];
  references: string[]; // normalised: docker.io/library/alpine:3.20
  digests: string[]; // docker.io/library/alpine@sha256:…
  /** Names that stand for a whole index, one of `documents`, and not for this image alone. */
  indexes: ReadonlyMap<string, string>;
  /** Names that were pulled by an index, one of `documents`, but mean this image alone. */
  origins: ReadonlyMap<string, string>;
  createdAt: Date; // when it was stored or last tagged
  parent?: string;
}
export interface ImageStore {
  /** Every layer must be in the layer store. Returns the id. */
  put(
    rawConfig: Uint8Array,
    options?: {
      manifest?: Uint8Array;
      manifestType?: string;
      parent?: string;
      /** The indexes that led to the manifest: kept with the image. */
      indexes?: readonly { raw: Uint8Array; mediaType: string }[];
    },
  ): Promise<string>;
  /** Keeps further documents with an image that is here. */
  addDocuments(
    id: string,
    documents: readonly { raw: Uint8Array; mediaType: string }[],
  ): Promise<void>;
  /** Forgets documents of an image; their bytes go when nothing else needs them. */
  dropDocuments(id: string, digests: readonly string[]): Promise<void>;
  /** A manifest or index that some image came by. */
  document(digest: string): Descriptor | undefined;
  /** `index`: the digest of the index that the name stands for; the image is its one for here.
   * `origin`: of the one that led to the image when the name was pulled. */
  tag(id: string, reference: string, o?: { index?: string; origin?: string }): Promise<void>;
  untag(reference: string): Promise<void>;
  /** By normalised reference, digest reference, id, unambiguous id prefix (≥ 1 hex digit), or the
   * digest of its manifest or index. */
  resolve(reference: string): StoredImage | undefined;
  get(id: string): StoredImage | undefined;
  list(): StoredImage[];
  /** Ids of the images whose parent is `id`. */
  children(id: string): string[];
  /** Deletes the image and what no other image or lease uses. Returns deleted chain ids. */
  remove(id: string): Promise<string[]>;
}

/** Writable root file systems of containers. */
export interface SnapshotStore {
  prepare(
    id: string,
    diffIds: readonly string[],
    /** `sizeBytes`: what the container may write. `bare`: without docker's empty mount points
     * (/.dockerenv, /etc/hostname …), as the steps of a build have it. */
    options?: { volatile?: boolean; bare?: boolean; sizeBytes?: number },
  ): Promise<RootfsMount>;
  /** The mount for one more use: a volatile overlay needs a fresh work folder each time. */
  renew(id: string): Promise<RootfsMount>;
  get(id: string): RootfsMount | undefined;
  /** What prepare() would give; nothing is made. The folder of docker's empty mount points may not
   * be there yet. */
  preview(id: string, diffIds: readonly string[], o?: { volatile?: boolean }): RootfsMount;
  /** The folders of a stack of layers as overlay wants them, top first, without a writable one. */
  lowerDirs(diffIds: readonly string[]): string[];
  /** Changes the size limit that it was made with, also in use. */
  resize(id: string, bytes: number): Promise<void>;
  limitOf(id: string): SizeLimit | undefined;
  remove(id: string): Promise<void>;
  usage(id: string): Promise<{ bytes: number; inodes: number }>;
  list(): string[];
}

/** Durable records: one JSON document a key, in SQLite. Synchronous, microseconds each. */
export interface Collection<T> {
  get(key: string): T | undefined;
  put(key: string, value: T): void;
  /** What has happened already, or the intent to remove: written on a full disk too, where room is
   * kept for it. */
  putFact(key: string, value: T): void;
  delete(key: string): void;
  all(): [key: string, value: T][];
}
export interface Records {
  collection<T>(name: string): Collection<T>;
  /** All writes in `work` are one transaction. */
  transaction<T>(work: () => T): T;
}

export interface Storage {
  content: ContentStore;
  partials: PartialBlobs;
  layers: LayerStore;
  images: ImageStore;
  snapshots: SnapshotStore;
  records: Records;
  lease(digests?: readonly string[]): Lease;
  /** Deletes those of `diffIds` that no image, snapshot or lease uses; returns them. */
  collectLayers(diffIds: Iterable<string>): Promise<string[]>;
  /** Deletes every blob and layer that no image, snapshot or lease uses. */
  collect(): Promise<{ layers: string[]; bytes: number }>;
  /** Deletes half-made files of an earlier run and what nothing refers to. */
  reconcile(live: { snapshotIds: ReadonlySet<string> }): Promise<void>;
  close(): Promise<void>;
}
