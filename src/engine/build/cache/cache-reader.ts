// Reads caches of other places: a registry's cache manifest or an image that carries its cache, the
// client's folder, an image that is here. What is found is only an offer: a layer is fetched when a
// step wants it, and is believed only when its content has the diff id.

import type { Readable } from "node:stream";
import { Readable as ReadableStream } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import {
  digestOf,
  formatReference,
  type ImageConfigDocument,
  isDigest,
  type Reference,
} from "../../../spec/index.ts";
import type { Descriptor } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildJob } from "../job.ts";
import {
  CACHE_CONFIG,
  type CacheContents,
  CONFIG_BYTES_MAX,
  decodeCacheConfig,
  decodeInline,
  INLINE_FIELD,
} from "./cache-config.ts";
import type { CacheSource } from "./cache-places.ts";

const MANIFEST_BYTES_MAX = 8 * 1024 * 1024;
const BLOBS_MAX = 100_000;
/** Images of an index that are looked into. */
const IMAGES_MAX = 100;
const STEPS_MAX = 500_000;
const LIST_TYPES = /image\.index\.v1\+json|manifest\.list\.v2\+json/;

/** What a place offers, and how a blob of it is had. */
export interface OfferedCache extends CacheContents {
  name: string;
  open(blob: Descriptor, o: { signal: AbortSignal }): Promise<Readable>;
}
export type ReaderPlace = { engine: EngineContext };
type ReaderJob = Pick<BuildJob, "credentials" | "session">;

interface Shelf {
  /** By tag or digest; checked where a digest is asked. */
  manifest(name: string): Promise<{ raw: Uint8Array; mediaType: string }>;
  /** Whole and checked. */
  document(blob: Descriptor, bytesMax: number): Promise<Uint8Array>;
  open(blob: Descriptor, o: { signal: AbortSignal }): Promise<Readable>;
}

/** Throws whatever is wrong with the place; caches of its images and its own together. */
export async function readCache(
  { engine }: ReaderPlace,
  job: ReaderJob,
  source: CacheSource,
  { signal }: { signal: AbortSignal },
): Promise<OfferedCache> {
  if (source.kind === "image") {
    const found = localImage(engine, source.reference);
    if (found !== undefined) return { ...found, name: source.name };
  }
  if (source.kind === "local") {
    const { session } = job;
    if (!session) throw new GantryError("invalid", "--cache-from type=local needs a session");
    const shelf = sessionShelf(session.contentStore(`local:${source.store}`), signal);
    return await offered(shelf, source.digest, source.name);
  }
  const { reference, insecure, name } = source;
  const shelf = await registryShelf(engine, job, { reference, insecure }, signal);
  return await offered(shelf, reference.digest ?? reference.tag ?? "latest", name);
}

/** The inline cache of an image in the store. */
function localImage(
  { storage }: EngineContext,
  reference: Reference,
): Omit<OfferedCache, "name"> | undefined {
  const image = storage.images.resolve(formatReference(reference));
  if (!image) return undefined;
  const steps = inlineSteps(image.rawConfig);
  const open = async () => {
    throw new GantryError("internal", "the layers of an image here are here");
  };
  return { layers: [], steps, open };
}

function inlineSteps(rawConfig: Uint8Array): CacheContents["steps"] {
  const config = JSON.parse(Buffer.from(rawConfig).toString("utf8")) as ImageConfigDocument;
  const cache = (config as unknown as Record<string, unknown>)[INLINE_FIELD];
  return typeof cache === "string" ? decodeInline(cache, diffIdsOf(config)) : [];
}

/** None where any is odd: they are a stranger's. */
function diffIdsOf({ rootfs }: ImageConfigDocument): readonly string[] {
  const diffIds: unknown = rootfs?.diff_ids;
  const isSound = Array.isArray(diffIds) && diffIds.every((one) => isDigest(one));
  return isSound ? diffIds : [];
}

async function offered(shelf: Shelf, at: string, name: string): Promise<OfferedCache> {
  const { layers, steps } = await contents(shelf, await shelf.manifest(at), true);
  return { layers, steps, name, open: (blob, o) => shelf.open(blob, o) };
}

async function contents(
  shelf: Shelf,
  { raw, mediaType }: { raw: Uint8Array; mediaType: string },
  isTop: boolean,
): Promise<CacheContents> {
  const document = readJson(raw);
  const type = typeof document["mediaType"] === "string" ? document["mediaType"] : mediaType;
  if (!LIST_TYPES.test(type)) return await ofManifest(shelf, document);
  const entries = descriptors(document["manifests"]);
  const config = entries.find((entry) => entry.mediaType === CACHE_CONFIG);
  if (config !== undefined) return await ofConfig(shelf, config, entries);
  const all: CacheContents[] = [];
  // Each platform's image has the cache of its own steps.
  let count = 0;
  for (const { digest } of isTop ? entries.slice(0, IMAGES_MAX) : []) {
    const one = await contents(shelf, await shelf.manifest(digest), false);
    count += one.steps.length;
    if (count > STEPS_MAX) throw new GantryError("corrupt", "the cache has too many steps");
    all.push(one);
  }
  return { layers: all.flatMap(({ layers }) => layers), steps: all.flatMap(({ steps }) => steps) };
}

async function ofManifest(shelf: Shelf, document: Record<string, unknown>): Promise<CacheContents> {
  const [config] = descriptors([document["config"]]);
  if (config === undefined) throw new GantryError("corrupt", "the cache manifest has no config");
  const layers = descriptors(document["layers"] ?? []);
  if (config.mediaType === CACHE_CONFIG) return await ofConfig(shelf, config, layers);
  if (!/image/.test(config.mediaType)) return { layers: [], steps: [] };
  const raw = await shelf.document(config, CONFIG_BYTES_MAX);
  const steps = inlineSteps(raw);
  const diffIds = diffIdsOf(JSON.parse(Buffer.from(raw).toString("utf8")));
  if (diffIds.length !== layers.length) return { layers: [], steps: [] };
  return { layers: layers.map((blob, at) => ({ blob, diffId: diffIds[at]! })), steps };
}

async function ofConfig(
  shelf: Shelf,
  config: Descriptor,
  blobs: readonly Descriptor[],
): Promise<CacheContents> {
  const raw = await shelf.document(config, CONFIG_BYTES_MAX);
  return decodeCacheConfig(raw, new Map(blobs.map((blob) => [blob.digest, blob])));
}

function readJson(raw: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(raw).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new GantryError("corrupt", "the cache manifest is damaged");
}

/** Only what is asked for: annotations and URLs of others are not followed. */
function descriptors(value: unknown): Descriptor[] {
  if (!Array.isArray(value) || value.length > BLOBS_MAX) {
    throw new GantryError("corrupt", "the cache manifest has no list of blobs");
  }
  return value.map((entry: unknown) => {
    const { mediaType, digest, size } = (entry ?? {}) as Partial<Descriptor>;
    const isSound = typeof mediaType === "string" && typeof digest === "string" && isDigest(digest);
    if (!isSound || !Number.isSafeInteger(size) || size! < 0) {
      throw new GantryError("corrupt", "the cache manifest has a bad descriptor");
    }
    return { mediaType, digest, size: size! };
  });
}

async function registryShelf(
  engine: EngineContext,
  job: ReaderJob,
  { reference, insecure }: { reference: Reference; insecure: boolean },
  signal: AbortSignal,
): Promise<Shelf> {
  const { registry: host, repository } = reference;
  const credentials = await job.credentials(host, { signal });
  const own = { repository, ...(credentials && { credentials }), ...(insecure && { insecure }) };
  const registry = await engine.registries.open(host, { ...own, signal });
  return {
    manifest: (name) => registry.manifest(repository, name),
    document: async (blob, bytesMax) => {
      checkSize(blob, bytesMax);
      return await registry.smallBlob(repository, blob);
    },
    open: async (blob, o) => (await registry.withSignal(o.signal).blob(repository, blob)).response,
  };
}

function sessionShelf(
  store: ReturnType<NonNullable<BuildJob["session"]>["contentStore"]>,
  signal: AbortSignal,
): Shelf {
  const document = async (digest: string, bytesMax: number): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of store.read(digest, { signal })) {
      size += chunk.length;
      if (size > bytesMax) throw new GantryError("corrupt", `Blob ${digest} is too large`);
      chunks.push(chunk);
    }
    const raw = Buffer.concat(chunks);
    if (digestOf(raw) !== digest) throw new GantryError("corrupt", `Blob ${digest} is damaged`);
    return raw;
  };
  return {
    manifest: async (digest) => ({
      raw: await document(digest, MANIFEST_BYTES_MAX),
      mediaType: "",
    }),
    document: async (blob, bytesMax) => await document(blob.digest, bytesMax),
    open: async (blob, o) => ReadableStream.from(store.read(blob.digest, o), { objectMode: false }),
  };
}

function checkSize({ digest, size }: Descriptor, max: number): void {
  if (size > max) throw new GantryError("corrupt", `Blob ${digest} is too large`);
}
