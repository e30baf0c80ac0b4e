// Blobs of a pull-through cache: each is fetched once for all who want it, and kept.

import { tmpdir } from "node:os";
import { Readable } from "node:stream";
import { type Logger, messageOf } from "../base/index.ts";
import { Download } from "./cache-download.ts";
import type { UpstreamPlace } from "./cache-names.ts";
import type { CacheSettings } from "./cache-options.ts";
import { answerTimeoutMs, type Questions } from "./cache-questions.ts";
import { blobBytes, blobSize, toldOf, type Upstreams } from "./cache-upstream.ts";
import type { BlobFacts, ObjectStore, RegistryContent } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { blobPath, layerLink } from "./storage-paths.ts";

/** A range that begins further ahead than this is fetched by itself. */
const aheadBytesMax = 16 << 20;

export interface CacheBlobsParts {
  inner: RegistryContent;
  store: ObjectStore;
  settings: CacheSettings;
  upstreams: Upstreams;
  questions: Questions;
  logger: Logger;
}

export class CacheBlobs {
  #parts: CacheBlobsParts;
  #downloads = new Map<string, Promise<Download | undefined>>();
  #closing = new AbortController();

  constructor(parts: CacheBlobsParts) {
    this.#parts = parts;
  }

  async has(place: UpstreamPlace, digest: string): Promise<boolean> {
    return (await this.#keptBlob(place, digest)) !== undefined;
  }

  async size(place: UpstreamPlace, digest: string): Promise<number> {
    const kept = await this.#keptBlob(place, digest);
    if (kept !== undefined) return kept.size;
    const download = await this.#downloads.get(downloadKey(place, digest));
    return download?.size ?? (await this.#upstreamSize(place, digest));
  }

  async open(
    place: UpstreamPlace,
    digest: string,
    range?: { start: number; end?: number },
  ): Promise<Readable> {
    if (!(await this.has(place, digest))) {
      const download = await this.#download(place, digest);
      if (download !== undefined) return this.#readComing(place, { digest, download }, range);
    }
    return this.#parts.inner.openBlob(place.name, digest, range);
  }

  /** Resolves when what is under way now has ended. */
  async idle(): Promise<void> {
    const coming = [...this.#downloads.values()].map(async (started) => (await started)?.finished);
    await Promise.allSettled(coming);
  }

  /** Gives up what is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.idle();
  }

  async #keptBlob({ name }: UpstreamPlace, digest: string): Promise<BlobFacts | undefined> {
    try {
      return await this.#parts.inner.blob(name, digest);
    } catch (error) {
      if (error instanceof RegistryError && error.code === "BLOB_UNKNOWN") return undefined;
      throw error;
    }
  }

  #upstreamSize({ upstream, repository, name }: UpstreamPlace, digest: string): Promise<number> {
    return this.#parts.questions.ask(`blob ${name}@${digest}`, answerTimeoutMs, async (signal) => {
      try {
        return await this.#parts.upstreams.ask(upstream, signal, (registry) =>
          blobSize(registry, repository, digest),
        );
      } catch (error) {
        if (!(error instanceof RegistryError) || error.code !== "MANIFEST_UNKNOWN") throw error;
        throw new RegistryError("BLOB_UNKNOWN", "blob unknown to registry", {
          cause: error,
          detail: { digest },
        });
      }
    });
  }

  /** From a download, or past it: who resumes near the end need not wait for the beginning. */
  #readComing(
    place: UpstreamPlace,
    { digest, download }: { digest: string; download: Download },
    range: { start: number; end?: number } = { start: 0 },
  ): Readable {
    const end = Math.min(range.end ?? download.size - 1, download.size - 1);
    const { start } = range;
    if (start <= download.position + aheadBytesMax) return download.read({ start, end });
    const { repository, upstream } = place;
    const { signal } = this.#closing;
    const upstreams = this.#parts.upstreams;
    const bytes = async function* (): AsyncGenerator<Buffer> {
      const registry = await upstreams.ask(upstream, signal, async (opened) => opened);
      yield* blobBytes(registry, { repository, digest }, { start, end, signal });
    };
    return Readable.from(bytes(), { objectMode: false });
  }

  /** All bytes of a blob, once there is room for another download. */
  async *#bytesInTurn(
    { upstream, repository }: UpstreamPlace,
    digest: string,
    size: number,
  ): AsyncGenerator<Buffer> {
    const { signal } = this.#closing;
    const { upstreams } = this.#parts;
    const turn = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const hold = async (): Promise<void> => {
      turn.resolve();
      await left.promise;
    };
    upstreams.registries.downloads.run(hold, signal).catch(turn.reject);
    try {
      await turn.promise;
      const registry = await upstreams.ask(upstream, signal, async (opened) => opened);
      yield* blobBytes(registry, { repository, digest }, { start: 0, end: size - 1, signal });
    } catch (error) {
      throw toldOf(upstream, error);
    } finally {
      left.resolve();
    }
  }

  /** The one download of a blob; undefined when the store has the bytes already. */
  #download(place: UpstreamPlace, digest: string): Promise<Download | undefined> {
    const key = downloadKey(place, digest);
    const known = this.#downloads.get(key);
    if (known !== undefined) return known;
    const started: Promise<Download | undefined> = this.#startDownload(place, digest, () =>
      this.#forget(key, started),
    );
    this.#downloads.set(key, started);
    started
      .then((download) => download?.finished)
      .catch((error) => {
        const isOurs = !(error instanceof RegistryError) || error.status >= 500;
        const fields = { name: place.name, digest, error: messageOf(error) };
        this.#parts.logger[isOurs ? "warn" : "debug"]("A blob could not be fetched", fields);
      })
      .finally(() => this.#forget(key, started));
    return started;
  }

  #forget(key: string, started: Promise<Download | undefined>): void {
    if (this.#downloads.get(key) === started) this.#downloads.delete(key);
  }

  async #startDownload(
    place: UpstreamPlace,
    digest: string,
    onFailed: () => void,
  ): Promise<Download | undefined> {
    const { name } = place;
    if ((await this.#keptBlob(place, digest)) !== undefined) return undefined;
    // Asked even if another repository brought it: who may read this one may not know that one.
    const size = await this.#upstreamSize(place, digest);
    const there = await this.#parts.store.stat(blobPath(digest));
    if (there?.size === size && (await this.#parts.store.touch(blobPath(digest)))) {
      await this.#parts.store.write(layerLink(name, digest), Buffer.from(digest));
      return undefined;
    }
    const bytes = (): AsyncGenerator<Buffer> => this.#bytesInTurn(place, digest, size);
    const { spoolFolder = tmpdir() } = this.#parts.settings;
    const onUnstored = (error: unknown): void => {
      const fields = { name, digest, error: messageOf(error) };
      this.#parts.logger.error("A fetched blob could not be kept", fields);
    };
    const store = this.#parts.store;
    return new Download({ store, name, digest, size, spoolFolder, bytes, onUnstored, onFailed });
  }
}

function downloadKey({ name }: UpstreamPlace, digest: string): string {
  return `${name}@${digest}`;
}
