// An index that no tag stands for any more: built again, a name has another one. Its documents go
// (the statements of every build would pile up with an image that stays the same), and so do names
// by its digest; the images that it lists stay or go by docker's rules.

import { listedManifests } from "../../distribution/index.ts";
import type { Descriptor } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";

/** Does nothing while a tag stands for it. */
export async function forgetIndex({ storage }: EngineContext, digest: string): Promise<void> {
  const { images } = storage;
  const all = images.list();
  const named = all.flatMap(({ indexes }) => [...indexes].filter(([, index]) => index === digest));
  if (named.some(([name]) => !name.includes("@"))) return;
  const doomed = await reachable(storage, [digest]);
  for (const [name] of named) await images.untag(name);
  for (const { id, documents, manifest } of all) {
    if (!documents.some((one) => one.digest === digest)) continue;
    const others = documents.filter(
      (one) => one.digest !== digest && /(index\.v1|manifest\.list\.v2)\+json$/.test(one.mediaType),
    );
    const kept = await reachable(
      storage,
      others.map((one) => one.digest),
    );
    if (manifest) kept.add(manifest.digest);
    await images.dropDocuments(id, [...doomed.difference(kept)]);
  }
}

/** Indexes with their manifests, and what manifests of attestations refer to. */
async function reachable(
  { content }: EngineContext["storage"],
  indexes: readonly string[],
): Promise<Set<string>> {
  const found = new Set(indexes);
  for (const index of indexes) {
    const raw = await content.read(index).catch(() => undefined);
    if (raw === undefined) continue;
    for (const { digest } of listedManifests(raw, "") ?? []) {
      found.add(digest);
      const manifest = await content.read(digest).catch(() => undefined);
      for (const part of manifest ? partsOf(manifest) : []) found.add(part);
    }
  }
  return found;
}

function partsOf(manifest: Uint8Array): string[] {
  try {
    const { config, layers = [] } = JSON.parse(Buffer.from(manifest).toString("utf8")) as {
      config?: Descriptor;
      layers?: Descriptor[];
    };
    return [...(config ? [config] : []), ...layers].map(({ digest }) => digest);
  } catch {
    return []; // it was checked when it came; there is nothing to be found in it now
  }
}
