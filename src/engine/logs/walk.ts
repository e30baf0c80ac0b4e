// Walks a log from a place on: through the files there are, and with `follow` on as the log grows
// and begins new files. Rotation only adds names and compression keeps content, so that a walk
// loses and doubles nothing.

import { blocksFrom } from "./blocks.ts";
import { listGenerations } from "./generations.ts";
import { LogFile } from "./log-file.ts";

export interface Step {
  file: LogFile;
  /** Offset of the block in the file's plain content. */
  start: number;
  data: Buffer;
}

/** What wakes a follower. */
export interface Wake {
  readonly ended: boolean;
  next(): Promise<void>;
}

/** Opens every file there is, oldest first. */
export async function openFiles(path: string, binary: boolean, from = Number.MIN_SAFE_INTEGER) {
  const files: LogFile[] = [];
  try {
    for (const generation of await listGenerations(path)) {
      if (generation.number < from) continue;
      const file = await LogFile.open(generation, binary);
      if (file) files.push(file);
    }
    return files;
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

export async function closeFiles(files: readonly LogFile[]): Promise<void> {
  await Promise.all(files.map((file) => file.close()));
}

export interface WalkOptions {
  binary: boolean;
  signal?: AbortSignal | undefined;
  /** Goes on until it has ended; absent: what is there now. */
  wake?: Wake | undefined;
}

/** Takes over `files`: they are closed when the walk has left them, or ends. */
export async function* walk(
  path: string,
  files: LogFile[],
  place: { file: number; offset: number },
  o: WalkOptions,
): AsyncGenerator<Step> {
  let offset = place.offset;
  try {
    await closeFiles(files.splice(0, place.file));
    while (files.length > 1 || !o.wake) {
      const file = files[0];
      if (!file) return;
      for await (const step of stepsOf(file, offset, o.signal)) yield step;
      files.shift();
      await file.close();
      offset = 0;
    }
    yield* follow(path, files, offset, { ...o, wake: o.wake });
  } finally {
    await closeFiles(files);
  }
}

export async function* stepsOf(
  file: LogFile,
  offset: number,
  signal?: AbortSignal,
): AsyncGenerator<Step> {
  for await (const { start, data } of blocksFrom(file, offset, signal)) yield { file, start, data };
}

async function* follow(
  path: string,
  files: LogFile[],
  offset: number,
  o: WalkOptions & { wake: Wake },
): AsyncGenerator<Step> {
  for (;;) {
    // Looked at before reading: what was written before the end is then certainly read. And a file
    // that has a successor is finished: what is read after that is known is all of it.
    const { ended } = o.wake;
    if (o.signal?.aborted) return;
    const current = files[0];
    const newer = await openFiles(path, o.binary, current ? current.number + 1 : undefined);
    files.push(...newer);
    while (files.length > 0) {
      const file = files[0]!;
      for await (const step of stepsOf(file, offset)) {
        offset = step.start + step.data.length;
        yield step;
        if (o.signal?.aborted) return;
      }
      if (files.length === 1) break;
      files.shift();
      await file.close();
      offset = 0;
    }
    if (newer.length > 0) continue;
    if (ended) return;
    await o.wake.next();
  }
}
