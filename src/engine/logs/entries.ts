// A log as entries, for remote drivers: from a cursor on, over rotation, compression and restarts
// of container and daemon. The contract is in contract.ts.

import { readFile, rename, unlink, writeFile } from "node:fs/promises";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { LogChanges } from "./changes.ts";
import type { EntryBatch, LogCursor, LogEntry, ReadEntriesOptions } from "./contract.ts";
import { listGenerations } from "./generations.ts";
import { logPlace } from "./policy.ts";
import { type LogFormat, newView, type RecordView } from "./record.ts";
import { parseAttributes, textOf } from "./render.ts";
import { releaseHeld, walkSpool } from "./spool.ts";
import type { Step } from "./walk.ts";

const ENTRIES_MAX = 4096;

export async function* readEntries(
  engine: EngineContext,
  c: ContainerRecord,
  o: ReadEntriesOptions,
): AsyncGenerator<EntryBatch> {
  const place = logPlace(c, engine.paths.container(c.id).dir);
  if (!place) return;
  const { path, binary } = place;
  using changes = o.follow ? new LogChanges(path, o) : undefined;
  const from = parseCursor(o.from);
  let gap = false;
  let previous = from?.number;
  const parts = new PartNumbers();
  for await (const step of walkSpool(path, from, { binary, signal: o.signal, wake: changes })) {
    if (previous !== undefined && step.file.number > previous + 1) gap = true;
    previous = step.file.number;
    // Shippers keep entries until they are taken.
    for (const batch of batchesOf({ ...step, data: Buffer.from(step.data) }, parts)) {
      if (o.signal?.aborted) return;
      yield gap ? { ...batch, gap: true } : batch;
      gap = false;
    }
  }
}

function* batchesOf({ file, start, data }: Step, parts: PartNumbers): Generator<EntryBatch> {
  const view = newView();
  let entries: LogEntry[] = [];
  for (let at = 0; at < data.length; at = view.next) {
    const found = file.format.read(data, at, data.length, view);
    if (found === "short") break;
    if (found === "torn") continue;
    entries.push(entryOf(file.format, data, view, parts));
    if (entries.length < ENTRIES_MAX) continue;
    yield { entries, cursor: cursorAt(file.number, start + view.next) };
    entries = [];
  }
  if (entries.length > 0) yield { entries, cursor: cursorAt(file.number, start + data.length) };
}

function entryOf(format: LogFormat, block: Buffer, view: RecordView, parts: PartNumbers): LogEntry {
  const { seconds, nanoseconds } = format.time(block, view);
  const timeNano = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const stream = view.stream === 1 ? "stdout" : "stderr";
  const text = view.escaped
    ? Buffer.from(textOf(block, view))
    : block.subarray(view.textStart, view.textEnd);
  const ordinal = parts.next(view);
  const attrs = parseAttributes(block, view);
  return {
    stream,
    timeNano,
    text,
    ...(ordinal > 0 && { partial: { id: `${stream}-${timeNano}`, ordinal, last: view.ended } }),
    ...(attrs && { attrs }),
  };
}

/** Which part of its line an entry is: records say so, of JSON lines those before tell. */
class PartNumbers {
  #open = [0, 0, 0];

  next(view: RecordView): number {
    const before = this.#open[view.stream]!;
    const ordinal = view.ordinal || (view.ended && before === 0 ? 0 : before + 1);
    this.#open[view.stream] = view.ended ? 0 : ordinal;
    return ordinal;
  }
}

const cursorAt = (number: number, offset: number) => `${number}:${offset}` as LogCursor;

function parseCursor(
  cursor: LogCursor | undefined,
): { number: number; offset: number } | undefined {
  const match = /^(-?\d+):(\d+)$/.exec(cursor ?? "");
  return match ? { number: Number(match[1]), offset: Number(match[2]) } : undefined;
}

/** Everything before the cursor is shipped: the monitor may let go of it. */
export async function markShipped(
  engine: EngineContext,
  id: string,
  cursor: LogCursor,
): Promise<void> {
  const c = engine.containers.find(id);
  const place = logPlace(c, engine.paths.container(id).dir);
  if (!place) return;
  const file = `${place.path}.shipped`;
  await writeFile(`${file}.tmp`, cursor, { mode: 0o640 });
  await rename(`${file}.tmp`, file);
  if (!place.readable) await removeShipped(place.path, cursor);
}

/** Files before this place are shipped: the driver has no more need of them. */
export async function releaseShipped(
  engine: EngineContext,
  id: string,
  cursor: LogCursor,
): Promise<void> {
  const place = logPlace(engine.containers.find(id), engine.paths.container(id).dir);
  if (place) await releaseHeld(place.path, parseCursor(cursor)!.number);
}

/** Nobody reads a cache that is disabled. */
async function removeShipped(path: string, cursor: LogCursor): Promise<void> {
  const shipping = parseCursor(cursor)!.number;
  for (const { number, path: file } of await listGenerations(path)) {
    if (number < shipping) await unlink(file).catch(() => {});
  }
}

/** Where shipping goes on after a restart; undefined: at the oldest entry. */
export async function readShipped(
  engine: EngineContext,
  id: string,
): Promise<LogCursor | undefined> {
  const c = engine.containers.find(id);
  const place = logPlace(c, engine.paths.container(id).dir);
  return place ? await shippedOf(place.path) : undefined;
}

/** Files of lower numbers are shipped; none where nothing is. */
export async function shippedGeneration(path: string): Promise<number> {
  return parseCursor(await shippedOf(path))?.number ?? Number.MIN_SAFE_INTEGER;
}

async function shippedOf(path: string): Promise<LogCursor | undefined> {
  const text = await readFile(`${path}.shipped`, "utf8").catch(() => "");
  return parseCursor(text as LogCursor) ? (text as LogCursor) : undefined;
}
