// Where reading begins: at the last so many entries, or at a time. A time is found by comparing the
// first times of the files, then by halving the file that holds it.

import { BLOCK_BYTES, blocksBefore, blocksFrom, lastRecordEnd, readExactly } from "./blocks.ts";
import type { LogFile } from "./log-file.ts";
import { compareTimes, type LogTime, newView, type RecordView } from "./record.ts";
import { Turns } from "./turns.ts";

/** Whether an entry is one of those that are asked for. */
type Counts = (block: Buffer, view: RecordView, file: LogFile) => boolean;

export interface Place {
  /** Index among the files. */
  file: number;
  offset: number;
}

/** Where the last `count` entries that `counts` accepts begin. */
export async function seekTail(
  files: readonly LogFile[],
  count: number,
  counts: Counts,
  signal?: AbortSignal,
): Promise<Place> {
  let missing = count;
  const turns = new Turns();
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index]!;
    const end = await lastRecordEnd(file);
    if (missing <= 0) return { file: index, offset: end };
    for await (const { start, data } of blocksBefore(file, end)) {
      signal?.throwIfAborted();
      const starts = await acceptedStarts(file, data, { counts, turns });
      if (starts.length >= missing) {
        return { file: index, offset: start + starts[starts.length - missing]! };
      }
      missing -= starts.length;
    }
  }
  return { file: 0, offset: 0 };
}

async function acceptedStarts(
  file: LogFile,
  data: Buffer,
  { counts, turns }: { counts: Counts; turns: Turns },
): Promise<number[]> {
  const starts: number[] = [];
  const view = newView();
  for (let at = 0; at < data.length; at = view.next) {
    const found = file.format.read(data, at, data.length, view);
    if (found === "short") break;
    if (found === "whole" && counts(data, view, file)) starts.push(at);
    if (turns.isOver) await turns.next();
  }
  return starts;
}

/** A place at or before the first entry of that time or later, a few entries before it at most. */
export async function seekTime(files: readonly LogFile[], since: LogTime): Promise<Place> {
  for (let index = files.length - 1; index >= 0; index--) {
    const first = await firstTime(files[index]!);
    if (!first || (compareTimes(first, since) >= 0 && index > 0)) continue;
    return { file: index, offset: await seekInFile(files[index]!, since) };
  }
  return { file: 0, offset: 0 };
}

export async function firstTime(file: LogFile): Promise<LogTime | undefined> {
  for await (const { data } of blocksFrom(file, 0)) {
    const view = newView();
    for (let at = 0; at < data.length; at = view.next) {
      const found = file.format.read(data, at, data.length, view);
      if (found === "whole") return file.format.time(data, view);
      if (found === "short") break;
    }
  }
  return undefined;
}

async function seekInFile(file: LogFile, since: LogTime): Promise<number> {
  const { boundary } = file.format;
  if (!boundary) return await scanTo(file, since);
  let low = 0; // a record's start, before `since`
  let high = await lastRecordEnd(file);
  while (high - low > BLOCK_BYTES) {
    const middle = Math.floor((low + high) / 2);
    const data = await readExactly(file, middle, Math.min(BLOCK_BYTES, high - middle));
    const view = newView();
    const start = boundary(data, 0, data.length);
    const found = start < 0 ? "short" : file.format.read(data, start, data.length, view);
    if (found !== "whole") break;
    if (compareTimes(file.format.time(data, view), since) < 0) low = middle + start;
    else high = middle;
  }
  return low;
}

/** Records cannot be found from the middle: whole blocks are passed over by their first time. */
async function scanTo(file: LogFile, since: LogTime): Promise<number> {
  let low = 0;
  const view = newView();
  for await (const { start, data } of blocksFrom(file, 0)) {
    if (file.format.read(data, 0, data.length, view) !== "whole") break;
    if (compareTimes(file.format.time(data, view), since) >= 0) break;
    low = start;
  }
  return low;
}
