// Which repositories may hold a blob, for a mount that names none ("automatic content discovery"):
// those seen lately in this process, then the first ones of the catalog. Only candidates; whether
// they hold it, and whether the caller may know, is asked of each.

import type { ObjectStore } from "./contract.ts";
import { repositoryNames } from "./repositories.ts";

const digestsMax = 10_000;
const namesPerDigestMax = 8;
const repositoriesScannedMax = 200;

export class Holders {
  readonly #store: ObjectStore;
  readonly #seen = new Map<string, string[]>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  saw(name: string, digest: string): void {
    const names = this.#seen.get(digest);
    if (names === undefined) {
      this.#seen.set(digest, [name]);
      if (this.#seen.size > digestsMax) this.#seen.delete(this.#seen.keys().next().value!);
    } else if (!names.includes(name)) {
      names.push(name);
      if (names.length > namesPerDigestMax) names.shift();
    }
  }

  async *of(digest: string): AsyncIterable<string> {
    const seen = [...(this.#seen.get(digest) ?? [])];
    yield* seen;
    let scanned = 0;
    for await (const name of repositoryNames(this.#store)) {
      if (++scanned > repositoriesScannedMax) return;
      if (!seen.includes(name)) yield name;
    }
  }
}
