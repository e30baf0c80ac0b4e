// `logs`: a container's log from its first or its last entries, or from a time on, and with
// `follow` what comes until it stops. New lines are noticed through inotify, never by polling.

import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import { type ContainerRecord, isRemoving, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { LogOptions, LogStream } from "../contract.ts";
import { LogChanges } from "./changes.ts";
import type { LogFile } from "./log-file.ts";
import { logPlace } from "./policy.ts";
import type { LogTime, RecordView } from "./record.ts";
import { Renderer, type RenderOptions } from "./render.ts";
import { compileSearch } from "./search.ts";
import { seekTail, seekTime } from "./seek.ts";
import { Turns } from "./turns.ts";
import { closeFiles, openFiles, walk } from "./walk.ts";

export async function containerLogs(
  engine: EngineContext,
  ref: string,
  o: LogOptions,
): Promise<LogStream> {
  const c = engine.containers.find(ref);
  if (!o.stdout && !o.stderr) {
    throw new GantryError("invalid", "Bad parameters: you must choose at least one stream");
  }
  if (isRemoving(c) || c.dead) {
    throw new GantryError(
      "conflict",
      "can not get logs from container which is dead or marked for removal",
    );
  }
  const place = logPlace(c, engine.paths.container(c.id).dir);
  if (!place?.readable) {
    throw new GantryError("not-implemented", "configured logging driver does not support reading");
  }
  if (o.grep !== undefined) compileSearch(o.grep);
  const dropped = await droppedEntries(place.path);
  return {
    tty: c.config.Tty === true,
    get stream() {
      return Readable.from(readLogs(engine, c, o), { objectMode: false });
    },
    get blocks() {
      return readLogs(engine, c, o, { recycle: true });
    },
    ...(dropped > 0 && { dropped }),
  };
}

/** What the monitor has counted. */
async function droppedEntries(path: string): Promise<number> {
  const text = await readFile(`${path}.dropped`, "utf8").catch(() => "0");
  return Number(text) || 0;
}

/** Yields formatted output in chunks of one block of the file; with `recycle` the memory of a chunk
 * is written again when the next but one is asked for. */
export async function* readLogs(
  engine: EngineContext,
  c: ContainerRecord,
  o: LogOptions,
  { recycle = false } = {},
): AsyncGenerator<Buffer> {
  const log = logPlace(c, engine.paths.container(c.id).dir);
  if (!log?.readable) return;
  const { path, binary } = log;
  const options = renderOptions(c, o);
  const renderer = new Renderer(options, { recycle });
  // The watch is set before the first read: a line written in between wakes it.
  // Any answer of the monitor comes after what it had read is written.
  const settle = () => engine.live.of(c.id).monitor?.kill("", 0) ?? Promise.resolve();
  const bounds = { ...o, settle };
  using changes = o.follow && isRunning(c) ? new LogChanges(path, bounds) : undefined;
  changes?.endWith((listener) => engine.live.of(c.id).onNextExit(listener));
  const files = await openFiles(path, binary);
  const place = await placeOf(files, options, o).catch(async (error) => {
    await closeFiles(files);
    throw error;
  });
  // A search may take long for each line.
  const turns = options.grep ? new Turns() : undefined;
  for await (const step of walk(path, files, place, { binary, signal: o.signal, wake: changes })) {
    if (!o.follow) engine.logs.readers.beat();
    for (let left = step.data; left.length > 0; ) {
      const { text, rest } = renderer.render(step.file.format, left, turns);
      if (text.length > 0) yield text;
      if (renderer.ended) return;
      left = rest;
      if (rest.length > 0) await turns?.next();
      o.signal?.throwIfAborted();
    }
  }
}

/** Where to begin: the later one of what `tail` and `since` say. */
async function placeOf(files: LogFile[], options: RenderOptions, o: LogOptions) {
  const { since } = options;
  const bySince = since ? await seekTime(files, since) : { file: 0, offset: 0 };
  if (o.tail === "all") return bySince;
  // Docker counts entries of either stream, and bounds them by time afterwards.
  const matcher = o.grep === undefined ? undefined : new Renderer(options);
  const counts = (block: Buffer, view: RecordView, file: LogFile) =>
    matcher ? matcher.wants(file.format, block, view) : true;
  const byTail = await seekTail(files, o.tail, counts, o.signal);
  const later =
    byTail.file > bySince.file || (byTail.file === bySince.file && byTail.offset > bySince.offset);
  return later ? byTail : bySince;
}

function renderOptions(c: ContainerRecord, o: LogOptions): RenderOptions {
  return {
    stdout: o.stdout,
    stderr: o.stderr,
    timestamps: o.timestamps,
    details: o.details,
    frames: c.config.Tty !== true,
    // Clients that follow may take a frame for a line.
    merge: !o.follow,
    ...(o.since && { since: timeOf(o.since) }),
    ...(o.until && { until: timeOf(o.until) }),
    ...(o.grep !== undefined && { grep: compileSearch(o.grep) }),
  };
}

function timeOf(at: Date | LogTime): LogTime {
  if (!(at instanceof Date)) return at;
  const ms = at.getTime();
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: (ms - seconds * 1000) * 1_000_000 };
}
