// What the other side says of its files' names is checked before anybody sees it: clean, relative,
// in order, and beneath folders that were told before. So no name leads through a link or out.

import { constants } from "node:fs";
import { GantryError } from "../base/index.ts";
import type { FileStat } from "./packets.ts";

const PATH_CHARACTERS_MAX = 4096;
const { S_IFMT, S_IFDIR } = constants;

export class PathOrder {
  #previous = "";
  /** The folders that lead to the latest file. */
  readonly #folders: string[] = [];

  /** Throws invalid. */
  check({ path, mode }: Pick<FileStat, "path" | "mode">): void {
    if (!isClean(path)) throw refused(path, "is not a clean relative path");
    if (this.#previous !== "" && !isBefore(this.#previous, path))
      throw refused(path, "is out of order");
    this.#previous = path;
    while (this.#folders.length > 0 && !path.startsWith(`${this.#folders.at(-1)}/`)) {
      this.#folders.pop();
    }
    const slash = path.lastIndexOf("/");
    if (slash >= 0 && this.#folders.at(-1) !== path.slice(0, slash)) {
      throw refused(path, "comes without its folder");
    }
    if ((mode & S_IFMT) === S_IFDIR) this.#folders.push(path);
  }
}

const refused = (path: string, why: string): GantryError =>
  new GantryError("invalid", `a file came that ${why}: ${JSON.stringify(path)}`);

function isClean(path: string): boolean {
  if (path === "" || path.length > PATH_CHARACTERS_MAX || path.includes("\0")) return false;
  if (path.startsWith("/") || path.endsWith("/") || path.includes("//")) return false;
  if (path === "." || path === ".." || path.startsWith("./") || path.startsWith("../"))
    return false;
  return !/\/\.\.?(\/|$)/.test(path);
}

/** Whether `a` comes first: by components, each by its bytes. */
export function isBefore(a: string, b: string): boolean {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return rank(left) < rank(right);
  }
  return a.length < b.length;
}

const SLASH = 0x2f;

/** A code unit's place among others when texts are compared by their UTF-8 bytes; a slash ends a
 * component and comes before everything. */
function rank(unit: number): number {
  if (unit === SLASH) return -1;
  if (unit >= 0xe000) return unit - 0x800;
  if (unit >= 0xd800) return unit + 0x2000;
  return unit;
}
