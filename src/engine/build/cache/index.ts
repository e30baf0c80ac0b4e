// The build cache beyond the local store: what a job imports (`--cache-from`), what it exports
// (`--cache-to`) and the cache that travels in an image's config. The format is BuildKit's cache
// config; the digests of its records are our cache keys.

import type { BuildCache } from "../../../build/index.ts";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { CacheStore } from "../cache-store.ts";
import type { BuildJob, BuildReporter, BuiltImage, BuiltStep } from "../job.ts";
import { encodeInline, INLINE_FIELD } from "./cache-config.ts";
import { exportCaches } from "./cache-exports.ts";
import { ImportedCaches } from "./cache-imports.ts";
import { cacheSources, cacheTargets } from "./cache-places.ts";

export interface CacheImportPlace {
  engine: EngineContext;
  cache: CacheStore;
}
export interface CacheOptions {
  /** Keeps what is found for the build. */
  lease: Lease;
  reporter: BuildReporter;
  signal: AbortSignal;
}
export type CacheJob = Pick<BuildJob, "cacheFrom" | "cacheTo" | "credentials" | "session">;

/** The cache of one build: the local store first, then what the job imports. A cache that cannot be
 * read is a warning; one of a type that is not supported is refused. Throws invalid,
 * not-implemented. */
export async function openCacheImports(
  place: CacheImportPlace,
  job: CacheJob,
  options: CacheOptions,
): Promise<BuildCache & AsyncDisposable> {
  return new ImportedCaches(place, job, options);
}

/** Throws at once what the build could do nothing with: types, attributes, values. */
export function checkCacheExports(job: Pick<CacheJob, "cacheFrom" | "cacheTo">): void {
  cacheTargets(job);
  cacheSources(job);
}

/** Sends the cache of what was built to every place of the job; returns what it says of itself for
 * the build's metadata ("cache.manifest"). `images`: one a platform, their steps those of every
 * stage that was needed. */
export async function exportCache(
  place: CacheImportPlace,
  job: CacheJob,
  images: readonly BuiltImage[],
  options: CacheOptions,
): Promise<Record<string, string>> {
  return await exportCaches(place, job, images, options);
}

/** Whether the images of a job carry their cache (`--cache-to type=inline`, or the build argument
 * that does the same). */
export function wantsInlineCache({
  cacheTo,
  buildArgs = {},
}: Pick<BuildJob, "cacheTo"> & Partial<Pick<BuildJob, "buildArgs">>): boolean {
  const isAsked = ["1", "true"].includes(buildArgs["BUILDKIT_INLINE_CACHE"] ?? "");
  return isAsked || cacheTo.some(({ type }) => type === "inline");
}

/** A raw image config with the cache of its own layers in it. `layers`: the image's diff ids. */
export function withInlineCache(
  config: Uint8Array,
  steps: readonly BuiltStep[],
  layers: readonly string[],
): Uint8Array {
  const own = steps.filter(({ layer }) => layer === undefined || layers.includes(layer));
  const cached = own.map(({ key, layer, name, createdAtMs }) => ({
    ...{ key, layer, description: name, createdAtMs, inputs: [] },
  }));
  const document = JSON.parse(Buffer.from(config).toString("utf8")) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...document, [INLINE_FIELD]: encodeInline(cached, layers) }));
}
