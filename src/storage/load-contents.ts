// Reads what an image archive holds, as it streams by: documents stay in memory, layers are
// unpacked at once. Nothing is spooled, whatever the order of the entries.

import { createHash } from "node:crypto";
import { posix } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import {
  type Compression,
  decompress,
  decompressAs,
  detectCompression,
  peek,
} from "./compression.ts";
import type { Layer, Lease, Storage } from "./contract.ts";
import { readTar, type TarEntry } from "./tar-reader.ts";

/** Documents of an archive are kept in memory until its end. */
const DOCUMENT_BYTES_MAX = 8 << 20;
const DOCUMENTS_BYTES_MAX = 128 << 20;
/** What the smallest document costs, so that millions of tiny ones have a limit too. */
const DOCUMENT_COST_BYTES = 1024;
const LINKS_MAX = 100_000;
const TAR_HEADER_BYTES = 512;
const FORK_BYTES = 256 * 1024;
/** Layers whose unpacking is not quite done. */
const UNPACKING_MAX = 4;

/** "known": it was here already, so it was not looked at. */
type SeenLayer = {
  layer: Layer;
  digest: string;
  size: number;
  compression: Compression | "known";
  /** Its own bytes are in the content store as well. */
  isKept: boolean;
};
type LayerStorage = Pick<Storage, "layers" | "content">;
export interface Reading {
  lease: Lease;
  onLayer?: (layer: Layer) => void;
  signal?: AbortSignal;
}

/** What passed by: documents by name, layers by name, links between names. */
export interface Contents {
  documents: Map<string, Uint8Array>;
  layers: Map<string, SeenLayer>;
  links: Map<string, string>;
  /** Unpackings that go on. */
  pending: Set<Promise<void>>;
}

export function noContents(): Contents {
  return { documents: new Map(), layers: new Map(), links: new Map(), pending: new Set() };
}

/** Adds what `from` holds to `contents`; layers are kept from collection by the lease. */
export async function readContents(
  storage: LayerStorage,
  from: Readable,
  contents: Contents,
  options: Reading,
): Promise<void> {
  const { stream } = await decompress(from);
  let documentBytes = 0;
  const empty: string[] = [];
  try {
    for await (const entry of readTar(stream)) {
      options.signal?.throwIfAborted();
      const name = posix.normalize(entry.name).replace(/^\/+/, "");
      if (entry.type === "1" || entry.type === "2") {
        if (contents.links.size >= LINKS_MAX) throw tooMuch("links");
        contents.links.set(name, linkTarget(name, entry));
      } else if (entry.type === "0" && entry.size > 0) {
        documentBytes += await readFile(storage, name, entry, contents, options);
        if (documentBytes > DOCUMENTS_BYTES_MAX) throw tooMuch("documents");
      } else if (entry.type === "0") {
        if (empty.length >= LINKS_MAX) throw tooMuch("empty files");
        empty.push(name);
      }
    }
    await Promise.all(contents.pending);
    await addEmptyLayers(storage, empty, contents, options);
  } finally {
    stream.destroy();
    await Promise.allSettled(contents.pending);
  }
}

/** Nothing at all is an archive without entries for Go's readers, and some tools' empty layer. */
async function addEmptyLayers(
  storage: LayerStorage,
  names: readonly string[],
  contents: Contents,
  { lease, signal }: Reading,
): Promise<void> {
  if (names.length === 0) return;
  const nothing = Readable.from([], { objectMode: false });
  const layer = await storage.layers.apply(nothing, { lease, ...(signal ? { signal } : {}) });
  const seen = {
    layer,
    digest: layer.diffId,
    size: 0,
    compression: "none",
    isKept: false,
  } as const;
  for (const name of names) contents.layers.set(name, seen);
}

function tooMuch(what: string): GantryError {
  return new GantryError("invalid", `invalid archive: too many ${what}`);
}

function linkTarget(name: string, { type, link }: TarEntry): string {
  const base = type === "2" ? posix.dirname(name) : "";
  return posix.join(base, link).replace(/^\/+/, "");
}

/** Keeps a document or unpacks a layer. Returns the bytes kept in memory. */
async function readFile(
  storage: LayerStorage,
  name: string,
  { size, body }: TarEntry,
  contents: Contents,
  options: Reading,
): Promise<number> {
  const digest = digestFromName(name);
  const known = digest && storage.layers.byBlob(digest);
  if (digest && known) {
    options.lease.add(known.diffId);
    contents.layers.set(name, { layer: known, digest, size, compression: "known", isKept: false });
    options.onLayer?.(known);
    return 0;
  }
  const { head, stream } = await peek(body, TAR_HEADER_BYTES);
  if (!looksLikeLayer(head)) {
    if (size > DOCUMENT_BYTES_MAX) {
      for await (const _ of stream) options.signal?.throwIfAborted();
      return 0;
    }
    const data = await collect(stream);
    contents.documents.set(name, data);
    return data.length + DOCUMENT_COST_BYTES;
  }
  await unpackBeside(storage, { name, size, head, stream }, contents, options);
  return 0;
}

type Blob = { name: string; size: number; head: Buffer; stream: Readable };

/** Returns when the bytes are read; the last of the unpacking goes on beside the next entry. */
async function unpackBeside(
  storage: LayerStorage,
  blob: Blob,
  contents: Contents,
  options: Reading,
): Promise<void> {
  const { pending } = contents;
  while (pending.size >= UNPACKING_MAX) await Promise.race(pending);
  const work = unpackLayer(storage, blob, options).then((seen) => {
    contents.layers.set(blob.name, seen);
    options.onLayer?.(seen.layer);
    pending.delete(work);
  });
  work.catch(() => {}); // stays in `pending`, where it is seen
  pending.add(work);
  const read = new Promise<void>((resolve) => blob.stream.once("close", resolve));
  await Promise.race([work, read]);
}

async function unpackLayer(
  storage: LayerStorage,
  { name, size, head, stream }: Blob,
  { lease, signal }: Reading,
): Promise<SeenLayer> {
  const compression = detectCompression(head);
  const how = { lease, ...(signal ? { signal } : {}) };
  if (compression === "none") {
    const layer = await storage.layers.apply(stream, how);
    return { layer, digest: layer.diffId, size, compression, isKept: false };
  }
  const digest = digestFromName(name);
  if (digest === undefined) {
    const hash = createHash("sha256");
    const tar = decompressAs(
      tee(stream, (chunk) => hash.update(chunk)),
      compression,
    );
    const layer = await storage.layers.apply(tar, how);
    const got = `sha256:${hash.digest("hex")}`;
    return { layer, digest: got, size, compression, isKept: false };
  }
  // No registry is known to hold these bytes, and they could hardly be made again.
  lease.add(digest);
  const [toUnpack, toKeep] = fork(stream);
  const failures: unknown[] = [];
  const failed = (other: Readable) => (error: Error) => {
    failures.push(error);
    other.destroy(error);
    return undefined;
  };
  const [layer] = await Promise.all([
    storage.layers.apply(decompressAs(toUnpack, compression), how).catch(failed(toKeep)),
    storage.content.put(toKeep, { digest, size }).catch(failed(toUnpack)),
  ]);
  if (layer === undefined || failures.length > 0) throw failures[0];
  return { layer, digest, size, compression, isKept: true };
}

function digestFromName(name: string): string | undefined {
  const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  return hex && `sha256:${hex}`;
}

/** A tar (also one without entries: zeros) or something compressed; documents are JSON. */
function looksLikeLayer(head: Buffer): boolean {
  if (detectCompression(head) !== "none") return true;
  if (head.length < TAR_HEADER_BYTES) return false;
  if (head.subarray(257, 262).toString("latin1") === "ustar") return true;
  return head.subarray(0, TAR_HEADER_BYTES).every((byte) => byte === 0) || isOldTar(head);
}

/** v7 tars have no magic; their checksum tells. */
function isOldTar(head: Buffer): boolean {
  const stored = Number.parseInt(head.toString("latin1", 148, 156).replace(/[\0 ]+/g, ""), 8);
  let sum = 8 * 32;
  for (let at = 0; at < TAR_HEADER_BYTES; at++) if (at < 148 || at >= 156) sum += head[at]!;
  return stored === sum;
}

function tee(source: Readable, see: (chunk: Buffer) => void): Readable {
  const through = new PassThrough({ highWaterMark: FORK_BYTES });
  source.on("data", see);
  source.once("error", (error) => through.destroy(error));
  through.once("close", () => source.destroy());
  return source.pipe(through);
}

/** The same bytes twice; the slower reader sets the pace. */
function fork(source: Readable): [PassThrough, PassThrough] {
  const sinks: [PassThrough, PassThrough] = [
    new PassThrough({ highWaterMark: FORK_BYTES }),
    new PassThrough({ highWaterMark: FORK_BYTES }),
  ];
  for (const sink of sinks) sink.on("error", () => {});
  const pump = async (): Promise<void> => {
    for await (const chunk of source) {
      for (const sink of sinks) {
        if (sink.destroyed || sink.write(chunk)) continue;
        await new Promise<void>(
          (resolve) => void sink.once("drain", resolve).once("close", resolve),
        );
      }
    }
    for (const sink of sinks) sink.end();
  };
  pump().catch((error) => {
    for (const sink of sinks) sink.destroy(error);
  });
  return sinks;
}

async function collect(stream: Readable): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Checks that a document is what its name says, where the name is a digest. */
export function documentDigestMatches(name: string, data: Uint8Array): boolean {
  const want = digestFromName(name);
  return want === undefined || want === digestOf(data);
}
