// Who refers to a manifest (distribution spec 1.1, "Listing Referrers"): one small object for each
// subject and referrer, written with the manifest, so that a listing reads no manifests. Clients
// that do not know the API keep an index under a tag made of the subject's digest; it counts too.

import type { ObjectStore, Referrer } from "./contract.ts";
import type { ManifestDocument } from "./manifest-document.ts";
import { fallbackTag, isDigest } from "./names.ts";
import { kindOfPath, referrerLink, referrersFolder } from "./storage-paths.ts";

const readsAtOnce = 16;

/** The repository as this file needs it. */
export interface ReferrersSource {
  holds(digest: string): Promise<boolean>;
  /** The raw manifest under a tag. */
  tagged(tag: string): Promise<Buffer | undefined>;
}

export class Referrers {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async add(
    name: string,
    { digest, size, document }: { digest: string; size: number; document: ManifestDocument },
  ): Promise<void> {
    if (document.subject === undefined) return;
    const entry: Referrer = {
      mediaType: document.mediaType,
      digest,
      size,
      ...(document.artifactType === undefined ? {} : { artifactType: document.artifactType }),
      ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
    };
    const path = referrerLink(name, document.subject.digest, digest);
    await this.#store.write(path, Buffer.from(JSON.stringify(entry)));
  }

  async remove(name: string, subject: string, digest: string): Promise<void> {
    await this.#store.remove(referrerLink(name, subject, digest));
  }

  /** All that refer to `subject` and are there, by digest. */
  async list(name: string, subject: string, source: ReferrersSource): Promise<Referrer[]> {
    const found = new Map<string, Referrer>();
    for (const entry of await this.#fromTag(subject, source)) found.set(entry.digest, entry);
    for (const entry of await this.#fromLinks(name, subject)) found.set(entry.digest, entry);
    const entries = [...found.values()];
    const isThere = await inBatches(entries, ({ digest }) => source.holds(digest));
    return entries
      .filter((_, at) => isThere[at])
      .sort((a, b) => (a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0));
  }

  async #fromLinks(name: string, subject: string): Promise<Referrer[]> {
    const paths: string[] = [];
    for await (const { path } of this.#store.walk(referrersFolder(name, subject))) {
      if (kindOfPath(path)?.kind === "referrer") paths.push(path);
    }
    const raw = await inBatches(paths, (path) => this.#store.read(path).catch(() => undefined));
    return raw.flatMap((bytes) =>
      bytes === undefined ? [] : entriesOf(bytes, (value) => [value]),
    );
  }

  async #fromTag(subject: string, source: ReferrersSource): Promise<Referrer[]> {
    const raw = await source.tagged(fallbackTag(subject));
    if (raw === undefined) return [];
    return entriesOf(raw, (value) => {
      const manifests = (value as { manifests?: unknown } | null)?.manifests;
      return Array.isArray(manifests) ? manifests : [];
    });
  }
}

function entriesOf(raw: Buffer, pick: (value: unknown) => unknown[]): Referrer[] {
  try {
    return pick(JSON.parse(raw.toString("utf8"))).filter(isReferrer);
  } catch {
    return []; // not ours, or cut short by a full disk: the collector writes it again
  }
}

function isReferrer(value: unknown): value is Referrer {
  const entry = value as Partial<Referrer> | null;
  return (
    isDigest(entry?.digest) &&
    typeof entry.mediaType === "string" &&
    typeof entry.size === "number" &&
    (entry.artifactType === undefined || typeof entry.artifactType === "string")
  );
}

/** Maps with a bounded number in flight, in order. */
export async function inBatches<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += readsAtOnce) {
    results.push(...(await Promise.all(items.slice(at, at + readsAtOnce).map(work))));
  }
  return results;
}
