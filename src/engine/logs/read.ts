// Logs: the json-file log of a container from its first or its last lines on, and with `follow`
// what comes until it stops. New lines are noticed through inotify, never by polling.

import { Readable } from "node:stream";
import { GantryError } from "../../base/index.ts";
import { type ContainerRecord, isRemoving, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { LogOptions, LogStream } from "../contract.ts";
import { LogChanges } from "./changes.ts";
import {
  LineCutter,
  type LogFile,
  openLogFiles,
  openNewerFiles,
  seekTail,
  streamFile,
} from "./files.ts";
import {
  boundOf,
  encodeLines,
  formatLogLine,
  isPastUntil,
  type LineFormat,
  type LogLine,
  parseLogLine,
} from "./line.ts";

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
  if (c.hostConfig.LogConfig?.Type === "none") {
    throw new GantryError("not-implemented", "configured logging driver does not support reading");
  }
  const stream = Readable.from(readLogs(engine, c, o), { objectMode: false });
  return { tty: c.config.Tty === true, stream };
}

/** Yields formatted output in chunks of one block of the file. */
export async function* readLogs(
  engine: EngineContext,
  c: ContainerRecord,
  o: LogOptions,
): AsyncGenerator<Buffer> {
  const { log: path, dir } = engine.paths.container(c.id);
  const format: LineFormat = {
    stdout: o.stdout,
    stderr: o.stderr,
    timestamps: o.timestamps,
    details: o.details,
    frames: c.config.Tty !== true,
    ...(o.since && { since: boundOf(o.since)! }),
    ...(o.until && { until: boundOf(o.until)! }),
  };
  // The watch is set before the first read: a line written in between wakes it.
  using changes = o.follow && isRunning(c) ? new LogChanges(dir, o) : undefined;
  changes?.endWith((listener) => engine.live.of(c.id).onNextExit(listener));
  const files = await openLogFiles(path);
  try {
    const start = o.tail === "all" ? { file: 0, skipLines: 0 } : await seekTail(files, o.tail);
    const reader = new Formatter(format, start.skipLines);
    for (const file of files.slice(start.file)) {
      yield* readFile(file, reader, o.signal);
      if (reader.ended) return;
    }
    if (changes) yield* followFiles(path, files, { reader, changes, signal: o.signal });
  } finally {
    await Promise.all(files.map((file) => file.handle.close()));
  }
}

async function* readFile(
  file: LogFile,
  reader: Formatter,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  for await (const chunk of streamFile(file)) {
    signal?.throwIfAborted();
    yield* reader.push(chunk);
    if (reader.ended) return;
  }
}

/** Reads on as the log grows and rotates, until the container has stopped or the caller is gone. */
async function* followFiles(
  path: string,
  files: LogFile[],
  o: { reader: Formatter; changes: LogChanges; signal: AbortSignal | undefined },
): AsyncGenerator<Buffer> {
  for (;;) {
    // Looked at before reading: what was written before the end is then certainly read.
    const { ended } = o.changes;
    const current = files.at(-1);
    if (current) yield* readFile(current, o.reader, undefined);
    if (o.reader.ended || o.signal?.aborted) return;
    const newer = current ? await openNewerFiles(path, current) : await openLogFiles(path);
    files.push(...newer);
    // What was written after our last read and before the rotation.
    if (current && newer.length > 0) yield* readFile(current, o.reader, undefined);
    for (const file of newer.slice(0, -1)) yield* readFile(file, o.reader, undefined);
    for (const read of files.splice(0, files.length - 1)) await read.handle.close();
    if (newer.length > 0) continue;
    if (ended) return;
    await o.changes.next();
  }
}

/** Cuts a file's blocks into lines and formats those that are wanted. */
class Formatter {
  ended = false;
  #format: LineFormat;
  #skip: number;
  #cutter = new LineCutter();

  constructor(format: LineFormat, skipLines: number) {
    this.#format = format;
    this.#skip = skipLines;
  }

  *push(chunk: Buffer): Generator<Buffer> {
    const lines: { stream: LogLine["stream"]; text: string }[] = [];
    for (const row of this.#cutter.push(chunk)) {
      if (this.#skip > 0) {
        this.#skip--;
        continue;
      }
      const line = parseLogLine(row);
      if (!line) continue;
      this.ended = isPastUntil(line, this.#format);
      if (this.ended) break;
      const text = formatLogLine(line, this.#format);
      if (text !== undefined) lines.push({ stream: line.stream, text });
    }
    if (lines.length > 0) yield encodeLines(lines, this.#format.frames);
  }
}
