// What a registry means over what an object store keeps: manifests, tags, blobs, uploads,
// referrers. All state is in the store, so that many processes serve one; what is remembered here
// is only what can never change (bytes by their digest) or is checked before it is used.

import type { Readable } from "node:stream";
import { GantryError, kindOf } from "../base/index.ts";
import type {
  BlobFacts,
  ObjectStore,
  Page,
  Referrer,
  RegistryContent,
  StoredManifest,
} from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { Holders } from "./holders.ts";
import { ManifestCache } from "./manifest-cache.ts";
import { type ManifestDocument, parseManifest, sniffMediaType } from "./manifest-document.ts";
import { type Algorithm, algorithmOf, digestWith, isDigest } from "./names.ts";
import { Presence } from "./presence.ts";
import { inBatches, Referrers } from "./referrers.ts";
import { isRepository, repositoryNames } from "./repositories.ts";
import {
  blobPath,
  layerLink,
  quarantined,
  revisionLink,
  tagFolder,
  tagHistoryLink,
  tagLink,
  tagsFolder,
} from "./storage-paths.ts";
import { Uploads } from "./uploads.ts";

export interface ContentOptions {
  /** The age from which a look at a link renews it; less than half of the collector's grace. */
  renewAfterMs?: number;
}

/** A registry's content in `store`. */
export function createContent(store: ObjectStore, options: ContentOptions = {}): RegistryContent {
  return new StoredContent(store, options);
}

class StoredContent implements RegistryContent {
  readonly #store: ObjectStore;
  readonly #presence: Presence;
  readonly #referrers: Referrers;
  readonly #uploads: Uploads;
  readonly #holders: Holders;
  readonly #cache = new ManifestCache();

  constructor(store: ObjectStore, options: ContentOptions) {
    this.#store = store;
    this.#presence = new Presence(store, options.renewAfterMs);
    this.#referrers = new Referrers(store);
    this.#uploads = new Uploads(store);
    this.#holders = new Holders(store);
  }

  async repositories({ limit = Number.POSITIVE_INFINITY, after }: Page = {}): Promise<{
    names: string[];
    more: boolean;
  }> {
    const names: string[] = [];
    if (limit === 0) return { names, more: false };
    for await (const name of repositoryNames(this.#store, after)) {
      if (names.length === limit) return { names, more: true };
      names.push(name);
    }
    return { names, more: false };
  }

  async tags(
    name: string,
    { limit, after }: Page = {},
  ): Promise<{
    tags: string[];
    more: boolean;
  }> {
    const all = await this.#tags(name);
    if (all.length === 0 && !(await isRepository(this.#store, name))) throw unknownName(name);
    const rest = after === undefined ? all : all.filter((tag) => tag > after);
    const tags = limit === undefined ? rest : rest.slice(0, limit);
    return { tags, more: tags.length > 0 && tags.length < rest.length };
  }

  async #tags(name: string): Promise<string[]> {
    const folders = await this.#store.list(tagsFolder(name));
    const tags = folders.flatMap((folder) => (folder.endsWith("/") ? folder.slice(0, -1) : []));
    return tags.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  async manifest(name: string, reference: string): Promise<StoredManifest> {
    const digest = isDigest(reference) ? reference : await this.#tagged(name, reference);
    if (digest === undefined || !(await this.#presence.manifest(name, digest))) {
      throw unknownManifest(name, reference);
    }
    return await this.#stored(name, digest);
  }

  async #tagged(name: string, tag: string): Promise<string | undefined> {
    try {
      const digest = (await this.#store.read(tagLink(name, tag))).toString("latin1").trim();
      return isDigest(digest) ? digest : undefined;
    } catch (error) {
      if (kindOf(error) === "not-found") return undefined;
      throw error;
    }
  }

  async #stored(name: string, digest: string): Promise<StoredManifest> {
    const known = this.#cache.get(digest);
    if (known !== undefined) return known;
    const raw = await this.#presence.readData(digest);
    if (raw === undefined) throw unknownManifest(name, digest);
    if (digestWith(algorithmOf(digest), raw) !== digest) {
      throw new GantryError("corrupt", `The stored manifest ${digest} has other bytes`);
    }
    const manifest = { digest, mediaType: sniffMediaType(raw), raw };
    this.#cache.put(manifest);
    return manifest;
  }

  /** Stores bytes, then the links that make them visible, tags last. What the manifest refers to is
   * verified before and again once the manifest itself is visible to a collector: whatever one
   * decided in between, an accepted manifest is whole. */
  async putManifest(
    name: string,
    { raw, mediaType, digest: wanted, tags }: Parameters<RegistryContent["putManifest"]>[1],
  ): Promise<{ digest: string; subject?: string }> {
    const document = parseManifest(raw, mediaType);
    const digest = digestWith(wanted === undefined ? "sha256" : algorithmOf(wanted), raw);
    if (wanted !== undefined && wanted !== digest) {
      throw new RegistryError("DIGEST_INVALID", "provided digest did not match uploaded content", {
        detail: { provided: wanted, computed: digest },
      });
    }
    await this.#verifyReferences(name, document);
    const wasThere = await this.#presence.manifest(name, digest);
    await this.#storeRaw(digest, raw);
    await this.#referrers.add(name, { digest, size: raw.length, document });
    await this.#store.write(revisionLink(name, digest), Buffer.from(digest));
    try {
      await this.#verifyReferences(name, document);
    } catch (error) {
      if (!wasThere) await this.#store.remove(revisionLink(name, digest));
      throw error;
    }
    await inBatches(tags, async (tag) => {
      const content = Buffer.from(digest);
      await Promise.all([
        this.#store.write(tagHistoryLink(name, tag, digest), content),
        this.#store.write(tagLink(name, tag), content),
      ]);
    });
    this.#cache.put({ digest, mediaType: document.mediaType, raw });
    return { digest, ...(document.subject ? { subject: document.subject.digest } : {}) };
  }

  async #verifyReferences(name: string, document: ManifestDocument): Promise<void> {
    const missing = await inBatches(document.blobs, async ({ digest, size }) => {
      const facts = await this.#presence.blob(name, digest);
      if (facts !== undefined && facts.size !== size) throw otherSize(digest, size, facts.size);
      return facts === undefined ? digest : undefined;
    });
    const missingManifests = await inBatches(document.manifests, async ({ digest, size }) => {
      const isLinked = await this.#presence.manifest(name, digest);
      const facts = isLinked ? await this.#presence.data(digest) : undefined;
      if (facts !== undefined && facts.size !== size) throw otherSize(digest, size, facts.size);
      return facts === undefined ? digest : undefined;
    });
    const digests = [...missing, ...missingManifests].filter((digest) => digest !== undefined);
    if (digests.length === 0) return;
    throw new RegistryError("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", {
      detail: { digest: digests[0], missing: digests },
    });
  }

  async #storeRaw(digest: string, raw: Buffer): Promise<void> {
    const before = await this.#presence.readData(digest).catch(() => undefined);
    if (before?.equals(raw) && (await this.#store.touch(blobPath(digest)))) return;
    await this.#store.write(blobPath(digest), raw);
  }

  async deleteManifest(name: string, digest: string): Promise<void> {
    if (!(await this.#presence.manifest(name, digest))) throw unknownManifest(name, digest);
    await inBatches(await this.#tags(name), async (tag) => {
      if ((await this.#tagged(name, tag)) === digest) {
        await this.#store.removeAll(tagFolder(name, tag));
      }
    });
    const link = revisionLink(name, digest);
    const subject = await this.#subjectOf(name, digest);
    await this.#store.remove(link);
    await this.#store.remove(quarantined(link));
    if (subject !== undefined) await this.#referrers.remove(name, subject, digest);
  }

  async #subjectOf(name: string, digest: string): Promise<string | undefined> {
    try {
      return parseManifest((await this.#stored(name, digest)).raw).subject?.digest;
    } catch {
      return undefined; // damaged: that is no reason to keep it
    }
  }

  async deleteTag(name: string, tag: string): Promise<void> {
    if ((await this.#store.stat(tagLink(name, tag))) === undefined) {
      throw unknownManifest(name, tag);
    }
    await this.#store.removeAll(tagFolder(name, tag));
  }

  async referrers(name: string, digest: string): Promise<Referrer[]> {
    return await this.#referrers.list(name, digest, {
      holds: (referrer) => this.#presence.manifest(name, referrer),
      tagged: async (tag) => {
        const target = await this.#tagged(name, tag);
        if (target === undefined || !(await this.#presence.manifest(name, target)))
          return undefined;
        return await this.#presence.readData(target);
      },
    });
  }

  async blob(name: string, digest: string): Promise<BlobFacts> {
    const facts = await this.#presence.blob(name, digest);
    if (facts === undefined) throw unknownBlob(digest);
    this.#holders.saw(name, digest);
    return { digest, size: facts.size };
  }

  async openBlob(
    name: string,
    digest: string,
    range?: { start: number; end?: number },
  ): Promise<Readable> {
    await this.blob(name, digest);
    try {
      return await this.#store.open(blobPath(digest), range);
    } catch (error) {
      if (kindOf(error) !== "not-found") throw error;
    }
    await this.blob(name, digest); // the collector took it between the two: this brings it back
    return await this.#store.open(blobPath(digest), range);
  }

  async blobUrl(
    _name: string,
    digest: string,
    method: "GET" | "HEAD",
  ): Promise<string | undefined> {
    return await this.#store.url?.(blobPath(digest), { method });
  }

  async deleteBlob(name: string, digest: string): Promise<void> {
    const link = layerLink(name, digest);
    const isThere = (await this.#presence.blob(name, digest)) !== undefined;
    await this.#store.remove(link);
    await this.#store.remove(quarantined(link));
    if (!isThere) throw unknownBlob(digest);
  }

  async mountBlob(name: string, digest: string, from: string): Promise<boolean> {
    if ((await this.#presence.blob(from, digest)) === undefined) return false;
    await this.#store.write(layerLink(name, digest), Buffer.from(digest));
    if ((await this.#presence.data(digest)) === undefined) return false;
    this.#holders.saw(name, digest);
    return true;
  }

  holders(digest: string): AsyncIterable<string> {
    return this.#holders.of(digest);
  }

  async startUpload(name: string, algorithm?: string): Promise<string> {
    return await this.#uploads.start(name, algorithm as Algorithm | undefined);
  }
  async uploadSize(name: string, id: string): Promise<number> {
    return await this.#uploads.size(name, id);
  }
  async append(name: string, id: string, offset: number, bytes: Readable): Promise<number> {
    return await this.#uploads.append(name, id, offset, bytes);
  }
  async finishUpload(name: string, id: string, digest: string): Promise<BlobFacts> {
    const facts = await this.#uploads.finish(name, id, digest);
    this.#holders.saw(name, digest);
    return facts;
  }
  async cancelUpload(name: string, id: string): Promise<void> {
    await this.#uploads.cancel(name, id);
  }
}

function unknownName(name: string): RegistryError {
  return new RegistryError("NAME_UNKNOWN", "repository name not known to registry", {
    detail: { name },
  });
}

function unknownManifest(name: string, reference: string): RegistryError {
  return new RegistryError("MANIFEST_UNKNOWN", "manifest unknown", {
    detail: { name, reference },
  });
}

function unknownBlob(digest: string): RegistryError {
  return new RegistryError("BLOB_UNKNOWN", "blob unknown to registry", { detail: { digest } });
}

function otherSize(digest: string, said: number, found: number): RegistryError {
  return new RegistryError(
    "MANIFEST_INVALID",
    `manifest invalid: it says that ${digest} has ${said} bytes, but it has ${found}`,
    { detail: { digest } },
  );
}
