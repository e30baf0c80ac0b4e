// What a COPY wrote before, so that the next one that goes to the same place writes only what
// changed: a file that is as it was shares its inode with the older layer's. Layers never change,
// so nobody can tell but by the count of names. Kept in memory for the last few large copies; every
// name is compared by content, mode, owner and time before it is trusted.

import type { Lease, Storage } from "../../storage/index.ts";

/** One file of a copy: where it goes, and all that it is; "" is never the same. */
export interface CopiedFile {
  name: string;
  print: string;
}
interface Copied {
  diffId: string;
  prints: Map<string, string>;
}

const FILES_MIN = 200;
const FILES_MAX = 500_000;
const COPIES_MAX = 4;
const copies = new WeakMap<Storage, Map<string, Copied>>();

const of = (storage: Storage): Map<string, Copied> => {
  let known = copies.get(storage);
  if (known === undefined) {
    known = new Map();
    copies.set(storage, known);
  }
  return known;
};

/** The older layer, which stays for the build, and which of the files it has; undefined: none. */
export function findTwin(
  storage: Storage,
  place: string,
  files: readonly CopiedFile[],
  lease: Lease,
): { diffId: string; same: Uint8Array } | undefined {
  const older = of(storage).get(place);
  if (older === undefined) return undefined;
  lease.add(older.diffId);
  if (!storage.layers.get(older.diffId)) return undefined;
  const same = new Uint8Array(Math.ceil(files.length / 8));
  for (const [at, { name, print }] of files.entries()) {
    if (print !== "" && older.prints.get(name) === print) same[at >> 3]! |= 1 << (at & 7);
  }
  return { diffId: older.diffId, same };
}

export function rememberCopy(
  storage: Storage,
  place: string,
  files: readonly CopiedFile[],
  diffId: string,
): void {
  if (files.length < FILES_MIN || files.length > FILES_MAX) return;
  const known = of(storage);
  known.delete(place);
  known.set(place, { diffId, prints: new Map(files.map(({ name, print }) => [name, print])) });
  const [oldest] = known.keys();
  if (known.size > COPIES_MAX) known.delete(oldest!);
}
