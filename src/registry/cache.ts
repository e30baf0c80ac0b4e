// A pull-through cache: names of ours that stand for repositories of other registries. What is
// asked for is fetched once, with our credentials, kept in the store in the registry's own layout,
// and served from there; a tag is checked again after a while, and when its registry cannot be
// asked what is kept counts on. Everything that is remembered is in the store: a tag's link is as
// old as the last check, a blob's and a manifest's link as old as the last use, so many processes
// share it.

import type { Readable } from "node:stream";
import { type Logger, messageOf, silentLogger } from "../base/index.ts";
import { CacheBlobs } from "./cache-blobs.ts";
import { expireUnused } from "./cache-expiry.ts";
import { nameInNamespace, type UpstreamPlace, upstreamPlace } from "./cache-names.ts";
import {
  type CacheOptions,
  type CacheSettings,
  cacheSettings,
  tagSecondsDefault,
} from "./cache-options.ts";
import { answerTimeoutMs, Questions } from "./cache-questions.ts";
import { referrersOf, Upstreams } from "./cache-upstream.ts";
import type {
  BlobFacts,
  ObjectStore,
  Page,
  Referrer,
  RegistryContent,
  StoredManifest,
} from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { parseManifest } from "./manifest-document.ts";
import { isDigest } from "./names.ts";
import { blobPath, revisionLink, tagFolder, tagLink } from "./storage-paths.ts";

export interface CacheParts {
  content: RegistryContent;
  store: ObjectStore;
  options: CacheOptions;
  logger?: Logger;
  userAgent?: string;
}

export class PullThroughCache implements RegistryContent {
  #inner: RegistryContent;
  #store: ObjectStore;
  #settings: CacheSettings;
  #upstreams: Upstreams;
  #logger: Logger;
  #blobs: CacheBlobs;
  #questions = new Questions();

  constructor({ content, store, options, logger = silentLogger, userAgent }: CacheParts) {
    this.#inner = content;
    this.#store = store;
    this.#settings = cacheSettings(options);
    this.#logger = logger;
    this.#upstreams = new Upstreams(this.#settings, userAgent ?? "gantry-registry");
    this.#blobs = new CacheBlobs({
      inner: content,
      store,
      settings: this.#settings,
      upstreams: this.#upstreams,
      questions: this.#questions,
      logger,
    });
  }

  nameIn(namespace: string, name: string): string | undefined {
    const { upstreams } = this.#settings;
    return nameInNamespace(upstreams, namespace, name) ?? this.#inner.nameIn?.(namespace, name);
  }

  repositories(page?: Page): Promise<{ names: string[]; more: boolean }> {
    return this.#inner.repositories(page);
  }

  async tags(name: string, page: Page = {}): Promise<{ tags: string[]; more: boolean }> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.tags(name, page);
    const list = async (signal: AbortSignal): Promise<string[]> => {
      const { upstream, repository } = place;
      const all = await this.#upstreams.ask(upstream, signal, (registry) =>
        registry.tags(repository),
      );
      return all.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    };
    try {
      const all = await this.#questions.ask(`tags ${place.name}`, answerTimeoutMs, list);
      const { after = "", limit = Infinity } = page;
      const rest = all.filter((tag) => tag > after);
      return { tags: rest.slice(0, limit), more: rest.length > limit };
    } catch (error) {
      if (error instanceof RegistryError && error.code === "MANIFEST_UNKNOWN") {
        throw new RegistryError("NAME_UNKNOWN", error.message, { cause: error });
      }
      if (!isOutage(error)) throw error;
      return await this.#inner.tags(place.name, page).catch(() => {
        throw error;
      });
    }
  }

  async manifest(name: string, reference: string): Promise<StoredManifest> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.manifest(name, reference);
    if (!isDigest(reference)) return this.#tagged(place, reference);
    const kept = await this.#kept(place, reference);
    if (kept !== undefined) return kept;
    return this.#questions.ask(`manifest ${place.name}@${reference}`, answerTimeoutMs, (signal) =>
      this.#fetchManifest(place, reference, signal),
    );
  }

  async #kept({ name }: UpstreamPlace, reference: string): Promise<StoredManifest | undefined> {
    try {
      return await this.#inner.manifest(name, reference);
    } catch (error) {
      // What is not readable any more is fetched again.
      if (!(error instanceof RegistryError)) {
        this.#logger.warn("A cached manifest is fetched again", { name, error: messageOf(error) });
      }
      return undefined;
    }
  }

  async #tagged(place: UpstreamPlace, tag: string): Promise<StoredManifest> {
    const { name, upstream } = place;
    const checked = await this.#store.stat(tagLink(name, tag));
    const kept = checked === undefined ? undefined : await this.#kept(place, tag);
    if (checked !== undefined && kept !== undefined) {
      const age = Date.now() - checked.modifiedAt.getTime();
      if (age < (upstream.tagSeconds ?? tagSecondsDefault) * 1000) return kept;
      if (this.#upstreams.isResting(upstream)) return kept;
    }
    const patience = kept === undefined ? answerTimeoutMs : this.#settings.patienceMs;
    try {
      return await this.#questions.ask(`tag ${name}:${tag}`, patience, (signal) =>
        this.#checkTag(place, tag, { kept, signal }),
      );
    } catch (error) {
      if (kept === undefined || !isOutage(error)) throw error;
      const fields = { name, tag, error: messageOf(error) };
      this.#logger.warn("The upstream cannot be asked: a tag is served as it was", fields);
      return kept;
    }
  }

  /** Asks for the digest alone where something is kept: that costs no pull of a rate limit. */
  async #checkTag(
    place: UpstreamPlace,
    tag: string,
    { kept, signal }: { kept: StoredManifest | undefined; signal: AbortSignal },
  ): Promise<StoredManifest> {
    const { upstream, repository, name } = place;
    if (kept !== undefined) {
      const now = await this.#upstreams.ask(upstream, signal, (registry) =>
        registry.manifestDigest(repository, tag),
      );
      if (now?.digest === kept.digest) {
        await this.#store.touch(tagLink(name, tag));
        return kept;
      }
      const known = now && (await this.#kept(place, now.digest));
      if (known) {
        await this.#store.write(tagLink(name, tag), Buffer.from(known.digest));
        return known;
      }
    }
    try {
      const fresh = await this.#fetchManifest(place, tag, signal);
      await this.#store.write(tagLink(name, tag), Buffer.from(fresh.digest));
      return fresh;
    } catch (error) {
      const isGone = error instanceof RegistryError && error.code === "MANIFEST_UNKNOWN";
      if (isGone && kept !== undefined) await this.#store.removeAll(tagFolder(name, tag));
      throw error;
    }
  }

  async #fetchManifest(
    { upstream, repository, name }: UpstreamPlace,
    reference: string,
    signal: AbortSignal,
  ): Promise<StoredManifest> {
    const { raw, digest, mediaType } = await this.#upstreams.ask(upstream, signal, (registry) =>
      registry.manifest(repository, reference),
    );
    const manifest = { raw, digest, mediaType: parseManifest(raw, mediaType).mediaType };
    await this.#store.write(blobPath(digest), raw);
    await this.#store.write(revisionLink(name, digest), Buffer.from(digest));
    return manifest;
  }

  async referrers(name: string, digest: string): Promise<Referrer[]> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.referrers(name, digest);
    const { upstream, repository } = place;
    try {
      const key = `referrers ${place.name}@${digest}`;
      const found = await this.#questions.ask(key, answerTimeoutMs, (signal) =>
        this.#upstreams.ask(upstream, signal, (registry) =>
          referrersOf(registry, repository, digest),
        ),
      );
      if (found !== undefined) return found;
      // Kept under a tag there: with it, what we have knows them too.
      await this.#tagged(place, digest.replace(":", "-")).catch((error) => {
        if (isOutage(error)) throw error;
      });
    } catch (error) {
      if (!isOutage(error)) throw error;
    }
    return this.#inner.referrers(place.name, digest);
  }

  async blob(name: string, digest: string): Promise<BlobFacts> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.blob(name, digest);
    return { digest, size: await this.#blobs.size(place, digest) };
  }

  async openBlob(
    name: string,
    digest: string,
    range?: { start: number; end?: number },
  ): Promise<Readable> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.openBlob(name, digest, range);
    return this.#blobs.open(place, digest, range);
  }

  async blobUrl(name: string, digest: string, method: "GET" | "HEAD"): Promise<string | undefined> {
    const place = this.#placeOf(name);
    if (place === undefined) return this.#inner.blobUrl(name, digest, method);
    if (!(await this.#blobs.has(place, digest))) return undefined;
    return this.#inner.blobUrl(place.name, digest, method);
  }

  /** Forgets what is kept; it comes back when it is asked for. */
  async deleteManifest(name: string, digest: string): Promise<void> {
    await this.#inner.deleteManifest(this.#nameOf(name), digest);
  }
  async deleteTag(name: string, tag: string): Promise<void> {
    await this.#inner.deleteTag(this.#nameOf(name), tag);
  }
  async deleteBlob(name: string, digest: string): Promise<void> {
    await this.#inner.deleteBlob(this.#nameOf(name), digest);
  }

  async putManifest(
    name: string,
    manifest: Parameters<RegistryContent["putManifest"]>[1],
  ): Promise<{ digest: string; subject?: string }> {
    this.#refusePush(name);
    return this.#inner.putManifest(name, manifest);
  }
  async mountBlob(name: string, digest: string, from: string): Promise<boolean> {
    this.#refusePush(name);
    return this.#inner.mountBlob(name, digest, this.#nameOf(from));
  }
  async startUpload(name: string, algorithm?: string): Promise<string> {
    this.#refusePush(name);
    return this.#inner.startUpload(name, algorithm);
  }
  async uploadSize(name: string, id: string): Promise<number> {
    this.#refusePush(name);
    return this.#inner.uploadSize(name, id);
  }
  async append(name: string, id: string, offset: number, bytes: Readable): Promise<number> {
    this.#refusePush(name);
    return this.#inner.append(name, id, offset, bytes);
  }
  async finishUpload(name: string, id: string, digest: string): Promise<BlobFacts> {
    this.#refusePush(name);
    return this.#inner.finishUpload(name, id, digest);
  }
  async cancelUpload(name: string, id: string): Promise<void> {
    this.#refusePush(name);
    await this.#inner.cancelUpload(name, id);
  }
  async *holders(digest: string): AsyncIterable<string> {
    if (this.#inner.holders) yield* this.#inner.holders(digest);
  }

  /** Removes the links of what nobody has asked for in a while; the collector removes the bytes.
   * Returns how many links went. */
  async expire(): Promise<number> {
    const { unusedSeconds, upstreams } = this.#settings;
    if (unusedSeconds === 0) return 0;
    const before = new Date(Date.now() - unusedSeconds * 1000);
    return expireUnused(this.#store, { upstreams, before });
  }

  /** Resolves when the downloads of now have ended, well or not. */
  async idle(): Promise<void> {
    await this.#blobs.idle();
  }

  /** Ends downloads; what they had is given up. */
  async close(): Promise<void> {
    await Promise.all([this.#questions.close(), this.#blobs.close()]);
  }

  #placeOf(name: string): UpstreamPlace | undefined {
    return upstreamPlace(this.#settings.upstreams, name);
  }
  #nameOf(name: string): string {
    return this.#placeOf(name)?.name ?? name;
  }

  #refusePush(name: string): void {
    const place = this.#placeOf(name);
    if (place === undefined) return;
    const { registry } = place.upstream;
    throw new RegistryError(
      "UNSUPPORTED",
      `${name} is a cache of ${registry}: push to ${registry} itself`,
      { detail: { upstream: registry } },
    );
  }
}

/** The upstream did not answer, or not now: what is kept may be served. */
function isOutage(error: unknown): boolean {
  return error instanceof RegistryError && ["UNAVAILABLE", "TOOMANYREQUESTS"].includes(error.code);
}
