// Files' modes travel as Go's os.FileMode: the permissions are stat(2)'s, every other bit is not.

import { constants } from "node:fs";
import { GantryError } from "../base/index.ts";

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK } = constants;
const PERMISSIONS = 0o777;

const KINDS: readonly (readonly [unix: number, go: number])[] = [
  [S_IFDIR, 2 ** 31],
  [S_IFLNK, 2 ** 27],
  [S_IFIFO, 2 ** 25],
  [S_IFSOCK, 2 ** 24],
  [S_IFCHR, 2 ** 26 + 2 ** 21],
  [S_IFBLK, 2 ** 26],
];
/** Set-user-id, set-group-id, sticky. */
const BITS: readonly (readonly [unix: number, go: number])[] = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
];
const GO_KINDS = 2 ** 31 + 2 ** 27 + 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21 + 2 ** 19;

/** Throws invalid for a kind of file that no Unix has. */
export function unixMode(go: number): number {
  const kind = (go & GO_KINDS) >>> 0;
  let mode = go & PERMISSIONS;
  for (const [unix, bit] of BITS) if ((go & bit) !== 0) mode |= unix;
  if (kind === 0) return mode | S_IFREG;
  for (const [unix, bits] of KINDS) if (bits === kind) return mode | unix;
  throw new GantryError("invalid", `a file of an unknown kind: mode ${go.toString(16)}`);
}

export function goMode(unix: number): number {
  const kind = unix & S_IFMT;
  let mode = unix & PERMISSIONS;
  for (const [bit, go] of BITS) if ((unix & bit) !== 0) mode += go;
  if (kind === S_IFREG) return mode;
  for (const [bits, go] of KINDS) if (bits === kind) return mode + go;
  return mode;
}
