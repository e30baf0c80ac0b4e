// Manifests that were read lately, by digest: what a digest stands for never changes, so an entry
// needs no check. Whether a repository has the manifest is asked of the store each time.

import type { StoredManifest } from "./contract.ts";

const bytesMaxDefault = 32 << 20;

export class ManifestCache {
  readonly #entries = new Map<string, StoredManifest>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = bytesMaxDefault) {
    this.#bytesMax = bytesMax;
  }

  get(digest: string): StoredManifest | undefined {
    const found = this.#entries.get(digest);
    if (found === undefined) return undefined;
    this.#entries.delete(digest); // the map's order is that of use
    this.#entries.set(digest, found);
    return found;
  }

  put(manifest: StoredManifest): void {
    this.drop(manifest.digest);
    this.#entries.set(manifest.digest, manifest);
    this.#bytes += manifest.raw.length;
    for (const { digest } of this.#entries.values()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.drop(digest);
    }
  }

  drop(digest: string): void {
    const found = this.#entries.get(digest);
    if (found === undefined) return;
    this.#entries.delete(digest);
    this.#bytes -= found.raw.length;
  }
}
