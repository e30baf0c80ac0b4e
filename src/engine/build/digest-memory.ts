// Content digests that were computed before: of a context's tree as long as it is in memory, of the
// layers of an image or a stage on disk, by their chain, since a layer never changes. So a warm
// build reads no layer again.

import { chainIds, digestOf } from "../../spec/index.ts";
import type { Collection, Storage } from "../../storage/index.ts";

export interface DigestMemory {
  get(what: string): string | undefined;
  set(what: string, digest: string): void;
}
interface LayerDigest {
  digest: string;
  usedAtMs: number;
}

/** Counts up when the meaning of a digest changes. */
const VERSION = 1;
const LAYER_DIGESTS_MAX = 10_000;
/** Looking at them all is not for each time. */
const COLLECT_EVERY = 500;
const added = new WeakMap<Storage, number>();

export function layerDigests(storage: Storage, layers: readonly string[]): DigestMemory {
  const records = storage.records.collection<LayerDigest>("build-digests");
  const chain = chainIds(layers).at(-1) ?? "scratch";
  const keyOf = (what: string) => digestOf(JSON.stringify([VERSION, chain, what]));
  return {
    get(what) {
      const key = keyOf(what);
      const found = records.get(key);
      if (found) remember(records, key, found.digest);
      return found?.digest;
    },
    set(what, digest) {
      remember(records, keyOf(what), digest);
      const count = (added.get(storage) ?? COLLECT_EVERY - 1) + 1;
      added.set(storage, count);
      if (count % COLLECT_EVERY === 0) forgetOldest(records);
    },
  };
}

/** A full disk costs the record, not the build. */
function remember(records: Collection<LayerDigest>, key: string, digest: string): void {
  try {
    records.put(key, { digest, usedAtMs: Date.now() });
  } catch {
    // It is computed again.
  }
}

function forgetOldest(records: Collection<LayerDigest>): void {
  const all = records.all();
  if (all.length <= LAYER_DIGESTS_MAX) return;
  all.sort(([, a], [, b]) => a.usedAtMs - b.usedAtMs);
  for (const [key] of all.slice(0, all.length - LAYER_DIGESTS_MAX)) records.delete(key);
}
