// A container's log as its remote driver reads it: one file after the other, each held by a second
// name (<file>.held) before it is read. In mode non-blocking the monitor makes room by removing the
// oldest file; whether its entries are lost is told by its link count alone: a file that is held is
// shipped to its end and not counted, one that was gone before it could be held is counted and not
// shipped. So what is shipped and what is dropped add up to what was written, also when the daemon
// is killed meanwhile: the next one finds what was held.

import { link, readdir, unlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type Generation, generationPath, listGenerations } from "./generations.ts";
import { LogFile } from "./log-file.ts";
import { type Step, stepsOf, type WalkOptions } from "./walk.ts";

const HELD = ".held";
const HELD_NAME = /^\.(\d{6,10})\.held$/;

/** Takes `from` on, one file at a time: those not held may be gone when it is their turn. */
export async function* walkSpool(
  path: string,
  from: { number: number; offset: number } | undefined,
  o: WalkOptions,
): AsyncGenerator<Step> {
  let least = from?.number ?? Number.MIN_SAFE_INTEGER;
  let file = await openFirst(path, least, o.binary);
  let offset = from !== undefined && file?.number === from.number ? from.offset : 0;
  try {
    for (;;) {
      // Looked at before reading: what was written before the end is then certainly read, and a
      // file that has a successor is finished.
      const ended = o.wake?.ended ?? true;
      if (o.signal?.aborted) return;
      if (file) least = file.number + 1;
      const hasSuccessor = (await listSpool(path)).some(({ number }) => number >= least);
      if (file) {
        // A file that was torn is shorter than a cursor may say.
        offset = Math.min(offset, await file.size());
        for await (const step of stepsOf(file, offset)) {
          offset = step.start + step.data.length;
          yield step;
          if (o.signal?.aborted) return;
        }
      }
      if (hasSuccessor) {
        await file?.close();
        file = undefined;
        file = await openFirst(path, least, o.binary);
        offset = 0;
        continue;
      }
      if (ended) return;
      await o.wake?.next();
    }
  } finally {
    await file?.close();
  }
}

/** The generations that a driver can still have, those that only it has among them. */
export async function listSpool(path: string): Promise<Generation[]> {
  const found = await listGenerations(path);
  const named = new Set(found.map(({ number }) => number));
  for (const number of await heldNumbers(path)) {
    if (!named.has(number)) found.push({ number, path: heldPath(path, number), compressed: false });
  }
  return found.sort((a, b) => a.number - b.number);
}

/** Everything before this generation is shipped: nobody needs it held. */
export async function releaseHeld(path: string, before: number): Promise<void> {
  for (const number of await heldNumbers(path)) {
    if (number < before) await unlink(heldPath(path, number)).catch(() => {});
  }
}

/** The oldest from `least` on that is still there. */
async function openFirst(
  path: string,
  least: number,
  binary: boolean,
): Promise<LogFile | undefined> {
  for (const generation of await listSpool(path)) {
    if (generation.number < least) continue;
    const held = await hold(path, generation);
    const file = (await LogFile.open(held, binary)) ?? (await LogFile.open(generation, binary));
    if (file) return file;
  }
  return undefined;
}

/** The generation under a name that no monitor removes; as it is where it cannot be held. */
async function hold(path: string, generation: Generation): Promise<Generation> {
  const { number, compressed } = generation;
  // What is compressed is shipped, and what has no number is of before there were spools.
  if (compressed || number <= 0) return generation;
  const held = heldPath(path, number);
  try {
    await link(generationPath(path, number), held);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Gone, unless it was held before; or the file system has no links.
    if (code !== "EEXIST" && code !== "ENOENT") return generation;
  }
  return { ...generation, path: held };
}

const heldPath = (path: string, number: number) => `${generationPath(path, number)}${HELD}`;

async function heldNumbers(path: string): Promise<number[]> {
  const base = basename(path);
  const names = await readdir(dirname(path)).catch(() => []);
  return names.flatMap((name) => {
    const match = name.startsWith(base) ? HELD_NAME.exec(name.slice(base.length)) : null;
    return match ? [Number(match[1])] : [];
  });
}
