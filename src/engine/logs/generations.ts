// Which files a log has. <path>.000001, .000002 … are its generations, oldest first, each plain or
// (.zst) compressed; the newest is being written. Before there were generations, a log was <path>
// and, rotated, <path>.1 (the youngest), <path>.2 …: these are older than any.

import { readdir, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";

export interface Generation {
  /** Negative or 0 for files of before there were generations. */
  number: number;
  path: string;
  compressed: boolean;
}

const NUMBERED = /^\.(\d{6,10})(\.zst)?$/;
const FORMER = /^(?:\.(\d{1,5}))?$/;

/** Every generation there is; none where nothing was ever written. */
export async function listGenerations(path: string): Promise<Generation[]> {
  const found = new Map<number, Generation>();
  let former: Generation[] = [];
  const base = basename(path);
  const folder = dirname(path);
  for (const name of await namesIn(folder)) {
    if (!name.startsWith(base)) continue;
    const rest = name.slice(base.length);
    const match = NUMBERED.exec(rest);
    const file = `${folder}/${name}`;
    if (match) {
      const number = Number(match[1]);
      const compressed = match[2] !== undefined;
      // While both are there, the compressed one may be of a compression that did not end.
      if (!compressed || !found.has(number)) found.set(number, { number, path: file, compressed });
      continue;
    }
    const old = FORMER.exec(rest);
    if (old) former.push({ number: -Number(old[1] ?? 0), path: file, compressed: false });
  }
  // <path> is a second name of the newest generation.
  if (found.size > 0) former = former.filter(({ number }) => number < 0);
  return [...former, ...found.values()].sort((a, b) => a.number - b.number);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** 0 for one that is gone. */
export const fileBytes = async (path: string): Promise<number> =>
  (await stat(path).catch(() => undefined))?.size ?? 0;

export const generationPath = (path: string, number: number): string =>
  `${path}.${String(number).padStart(6, "0")}`;
