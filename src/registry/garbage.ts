// Removes what nothing refers to, while pushes go on, from any process over the store. Nothing is
// removed when it is found: it is put into quarantine, from where whoever asks for it takes it back
// (presence.ts), and removed by a later run that finds it there, still unmarked, after the grace.
// Why no order of events loses anything: docs/internals/registry.md, "Garbage collection".

import { randomUUID } from "node:crypto";
import { GantryError, kindOf, type Logger, silentLogger } from "../base/index.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { markRepository } from "./garbage-mark.ts";
import { defaultGraceMs } from "./options.ts";
import { Presence } from "./presence.ts";
import { Referrers } from "./referrers.ts";
import { repositoryNames } from "./repositories.ts";
import {
  blobsFolder,
  collectorLock,
  fromQuarantine,
  kindOfPath,
  layerLink,
  quarantined,
  quarantineFolder,
  referrerLink,
  repositoriesFolder,
  revisionLink,
} from "./storage-paths.ts";

const uploadAgeMsMaxDefault = 7 * 24 * 3600 * 1000;
/** A collector that has not renewed its lock for so long is dead. */
const lockIdleMsMax = 10 * 60 * 1000;

export interface GarbageOptions {
  /** What is younger stays, and so does what was put into quarantine later than that [24 h]. */
  graceMs?: number;
  /** Unfinished uploads to which nothing was added for so long end [7 days]. */
  uploadAgeMsMax?: number;
  /** Also manifests that no tag, index or subject leads to [false: as Docker's registry]. */
  removeUntagged?: boolean;
  /** Only counts. */
  dryRun?: boolean;
  logger?: Logger;
  signal?: AbortSignal;
}

export interface Tally {
  objects: number;
  bytes: number;
}
export interface GarbageReport {
  repositories: number;
  manifests: number;
  /** Found without use and set aside; removed by a later run. */
  quarantined: Tally;
  removed: Tally;
  /** Set aside once, and wanted again. */
  restored: Tally;
  uploadsExpired: Tally;
}

/** One run. Throws conflict while another collector is at work on this store. */
export async function collectGarbage(
  store: ObjectStore,
  options: GarbageOptions = {},
): Promise<GarbageReport> {
  const lock = await CollectorLock.take(store);
  try {
    return await new Collection(store, options, lock.takenAt).run();
  } finally {
    await lock.release();
  }
}

class Collection {
  readonly #store: ObjectStore;
  readonly #options: GarbageOptions;
  readonly #logger: Logger;
  readonly #presence: Presence;
  /** What was last touched before is old: by the store's own clock, at the beginning of marking. */
  readonly #oldBefore: number;
  readonly #marked = new Set<string>();
  readonly #waiting = new Map<string, { path: string; facts: ObjectFacts }>();
  readonly #report: GarbageReport = {
    repositories: 0,
    manifests: 0,
    quarantined: { objects: 0, bytes: 0 },
    removed: { objects: 0, bytes: 0 },
    restored: { objects: 0, bytes: 0 },
    uploadsExpired: { objects: 0, bytes: 0 },
  };
  readonly #startedAt: number;

  constructor(store: ObjectStore, options: GarbageOptions, startedAt: number) {
    this.#store = store;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#presence = new Presence(store);
    this.#startedAt = startedAt;
    this.#oldBefore = startedAt - (options.graceMs ?? defaultGraceMs);
  }

  async run(): Promise<GarbageReport> {
    for await (const { path, ...facts } of this.#store.walk(quarantineFolder)) {
      this.#waiting.set(fromQuarantine(path), { path, facts });
    }
    for await (const name of repositoryNames(this.#store)) {
      this.#options.signal?.throwIfAborted();
      await this.#collectRepository(name);
    }
    await this.#sweepBlobs();
    await this.#emptyQuarantine();
    await this.#expireUploads();
    return this.#report;
  }

  /** Marks what the repository's manifests need and sets aside the links that they do not. */
  async #collectRepository(name: string): Promise<void> {
    this.#report.repositories++;
    const found = await markRepository(this.#store, name, {
      presence: this.#presence,
      removeUntagged: this.#options.removeUntagged ?? false,
      isYoung: (facts) => !this.#isOld(facts),
      logger: this.#logger,
    });
    this.#report.manifests += found.manifests.size;
    for (const digest of found.manifests.keys()) {
      this.#marked.add(digest);
      await this.#want(revisionLink(name, digest));
    }
    for (const digest of found.blobs) {
      this.#marked.add(digest);
      await this.#want(layerLink(name, digest));
    }
    for (const { digest, facts, path } of found.layerLinks) {
      if (found.blobs.has(digest)) continue;
      // Somebody was told of it lately: a manifest may follow.
      if (!this.#isOld(facts)) this.#marked.add(digest);
      else await this.#setAside(path, facts);
    }
    for (const { digest, facts, path } of found.revisionLinks) {
      if (!found.manifests.has(digest) && this.#isOld(facts)) await this.#setAside(path, facts);
    }
    await this.#repairReferrers(name, found);
  }

  /** The listing of referrers follows the manifests: also in a folder that Docker's registry
   * filled. */
  async #repairReferrers(
    name: string,
    found: Awaited<ReturnType<typeof markRepository>>,
  ): Promise<void> {
    if (this.#options.dryRun) return;
    const referrers = new Referrers(this.#store);
    const known = new Set(found.referrerLinks.map((link) => `${link.subject} ${link.digest}`));
    for (const [digest, entry] of found.manifests) {
      const subject = entry?.document.subject?.digest;
      if (entry === undefined || subject === undefined) continue;
      if (!known.has(`${subject} ${digest}`)) await referrers.add(name, { digest, ...entry });
    }
    const present = new Set(found.revisionLinks.map(({ digest }) => digest));
    for (const { digest, subject, facts } of found.referrerLinks) {
      if (present.has(digest) || !this.#isOld(facts)) continue;
      if (!this.#waiting.has(revisionLink(name, digest))) {
        await this.#store.remove(referrerLink(name, subject, digest));
      }
    }
  }

  async #sweepBlobs(): Promise<void> {
    for await (const { path, ...facts } of this.#store.walk(blobsFolder)) {
      this.#options.signal?.throwIfAborted();
      const kind = kindOfPath(path);
      if (kind?.kind !== "blob" || this.#marked.has(kind.digest) || !this.#isOld(facts)) continue;
      await this.#setAside(path, facts);
    }
  }

  /** Into quarantine, where its age begins anew. */
  async #setAside(path: string, facts: ObjectFacts): Promise<void> {
    count(this.#report.quarantined, facts);
    if (this.#options.dryRun) return;
    try {
      if (await this.#store.touch(path)) await this.#store.move(path, quarantined(path));
    } catch (error) {
      if (kindOf(error) !== "not-found") throw error; // removed or set aside by somebody else
    }
  }

  /** Takes back what a live manifest needs. */
  async #want(path: string): Promise<void> {
    const waiting = this.#waiting.get(path);
    if (waiting === undefined) return;
    this.#waiting.delete(path);
    count(this.#report.restored, waiting.facts);
    if (this.#options.dryRun) return;
    try {
      if ((await this.#store.stat(path)) === undefined) await this.#store.move(waiting.path, path);
      else await this.#store.remove(waiting.path);
      await this.#store.touch(path);
    } catch (error) {
      if (kindOf(error) !== "not-found") throw error;
    }
  }

  /** Removes what waited there, unwanted, since before this run began to mark. */
  async #emptyQuarantine(): Promise<void> {
    for (const [path, { path: waiting, facts }] of this.#waiting) {
      this.#options.signal?.throwIfAborted();
      const kind = kindOfPath(path);
      if (kind?.kind === "blob" && this.#marked.has(kind.digest)) await this.#want(path);
      else if (this.#isOld(facts)) {
        count(this.#report.removed, facts);
        if (!this.#options.dryRun) await this.#store.remove(waiting);
      }
    }
  }

  async #expireUploads(): Promise<void> {
    const ageMsMax = this.#options.uploadAgeMsMax ?? uploadAgeMsMaxDefault;
    for await (const { upload, ...facts } of this.#store.uploads(repositoriesFolder)) {
      if (facts.modifiedAt.getTime() >= this.#startedAt - ageMsMax) continue;
      count(this.#report.uploadsExpired, facts);
      if (this.#options.dryRun) continue;
      await this.#store.abortUpload(upload).catch((error) => {
        if (kindOf(error) !== "conflict") throw error; // it goes on at this moment
      });
    }
  }

  #isOld({ modifiedAt }: ObjectFacts): boolean {
    return modifiedAt.getTime() < this.#oldBefore;
  }
}

function count(tally: Tally, { size }: ObjectFacts): void {
  tally.objects++;
  tally.bytes += size;
}

/** One collector at a time; also tells the store's time. */
class CollectorLock {
  readonly takenAt: number;
  readonly #store: ObjectStore;
  readonly #renewal: NodeJS.Timeout;

  private constructor(store: ObjectStore, takenAt: number) {
    this.#store = store;
    this.takenAt = takenAt;
    this.#renewal = setInterval(() => {
      store.touch(collectorLock).catch(() => {}); // the next run finds an old lock, no harm
    }, lockIdleMsMax / 10).unref();
  }

  static async take(store: ObjectStore): Promise<CollectorLock> {
    const mine = Buffer.from(randomUUID());
    if (!(await place(store, mine))) {
      const held = await store.stat(collectorLock);
      if (held !== undefined && Date.now() - held.modifiedAt.getTime() < lockIdleMsMax) {
        throw new GantryError("conflict", "another garbage collection of this store is at work", {
          detail: { since: held.modifiedAt.toISOString() },
        });
      }
      await store.remove(collectorLock);
      if (!(await place(store, mine))) {
        throw new GantryError("conflict", "another garbage collection of this store has begun");
      }
    }
    const taken = await store.stat(collectorLock);
    return new CollectorLock(store, taken?.modifiedAt.getTime() ?? Date.now());
  }

  async release(): Promise<void> {
    clearInterval(this.#renewal);
    await this.#store.remove(collectorLock);
  }
}

async function place(store: ObjectStore, content: Buffer): Promise<boolean> {
  if (store.create !== undefined) return await store.create(collectorLock, content);
  if ((await store.stat(collectorLock)) !== undefined) return false;
  await store.write(collectorLock, content);
  return (await store.read(collectorLock)).equals(content);
}
