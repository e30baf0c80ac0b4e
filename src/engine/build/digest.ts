// The content digest of what is copied: names, kinds, modes, owners, links, attributes and bytes,
// in the order of names. Times are no part of it: a fresh checkout is the same content.

import { createHash, type Hash } from "node:crypto";
import type { RootFiles } from "../../storage/index.ts";
import { type FoundSelection, scanItem } from "./selection.ts";
import type { TarFile, TarSink } from "./tar-scanner.ts";

export async function digestSelection(
  files: RootFiles,
  found: FoundSelection,
  { signal }: { signal: AbortSignal },
): Promise<string> {
  const hash = createHash("sha256");
  for (const item of found.items) {
    hash.update(`item ${JSON.stringify([item.name, item.into, item.isFolder])}\n`);
    for await (const _ of scanItem(files, found, item, new DigestSink(hash), { signal }));
  }
  return `sha256:${hash.digest("hex")}`;
}

/** Sizes stand before contents, so that no two trees give the same bytes. */
class DigestSink implements TarSink {
  readonly #hash: Hash;

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  file({ name, type, mode, uid, gid, size, link, major, minor, xattrs }: TarFile): void {
    const attributes = xattrs.map(([key, value]) => [key, value.toString("base64")]).sort();
    const facts = [name, type, mode & 0o7777, uid, gid, size, link, major, minor, attributes];
    this.#hash.update(`${JSON.stringify(facts)}\n`);
  }

  data(chunk: Buffer): void {
    this.#hash.update(chunk);
  }
}
