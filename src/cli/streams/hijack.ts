// Joins the caller's streams to a hijacked connection: raw terminal bytes or docker's frames one
// way, stdin the other, with back-pressure both ways, detach keys, and the terminal put back.

import type { Duplex } from "node:stream";
import { type Hijacked, StdDemultiplexer } from "../../client/index.ts";
import { type Io, writeAll } from "../io.ts";
import { DetachWatcher } from "./detach-keys.ts";

export interface HijackOptions {
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  detachKeys: readonly number[];
}

/** Resolves "closed" when the output has ended, "detached" after the detach keys. */
export async function joinStreams(
  io: Io,
  { stream }: Hijacked,
  options: HijackOptions,
): Promise<"closed" | "detached"> {
  const raw = options.tty && options.stdin && io.stdin.isTerminal;
  if (raw) io.stdin.setRaw(true);
  let stopInput = () => {};
  try {
    const detached = new Promise<"detached">((resolve) => {
      if (options.stdin) stopInput = pumpInput(io, stream, options, () => resolve("detached"));
    });
    const output = pumpOutput(io, stream, options).then(() => "closed" as const);
    return await Promise.race([output, detached]);
  } finally {
    stopInput();
    if (raw) io.stdin.setRaw(false);
    stream.destroy();
  }
}

function pumpInput(
  io: Io,
  stream: Duplex,
  { tty, detachKeys }: HijackOptions,
  onDetach: () => void,
): () => void {
  const input = io.stdin.open();
  const watcher = tty && detachKeys.length > 0 ? new DetachWatcher(detachKeys) : undefined;
  const onDrain = () => input.resume();
  const onData = (chunk: Buffer) => {
    const { data, detached } = watcher?.push(chunk) ?? { data: chunk, detached: false };
    if (data.length > 0 && !stream.write(data)) input.pause();
    if (detached) onDetach();
  };
  const onEnd = () => stream.end();
  stream.on("drain", onDrain);
  stream.on("error", () => {});
  input.on("data", onData);
  input.once("end", onEnd);
  input.once("error", onEnd);
  return () => {
    input.off("data", onData);
    input.off("end", onEnd);
    stream.off("drain", onDrain);
    io.stdin.close();
  };
}

async function pumpOutput(io: Io, stream: Duplex, options: HijackOptions): Promise<void> {
  const demultiplexer = options.tty ? undefined : new StdDemultiplexer();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (!demultiplexer) {
        if (options.stdout) await writeAll(io.stdout, chunk);
        continue;
      }
      for (const { stream: which, data } of demultiplexer.push(chunk)) {
        const wanted = which === 2 ? options.stderr : options.stdout;
        if (wanted) await writeAll(which === 2 ? io.stderr : io.stdout, data);
      }
    }
  } catch (error) {
    // The daemon cuts the connection when the container goes; what came is complete.
    if ((error as NodeJS.ErrnoException).code !== "ECONNRESET" && !stream.destroyed) throw error;
  }
}

/** Splits a logs stream (no hijack) into stdout and stderr. */
export async function copyLogs(io: Io, body: AsyncIterable<Buffer>, tty: boolean): Promise<void> {
  const demultiplexer = tty ? undefined : new StdDemultiplexer();
  for await (const chunk of body) {
    if (!demultiplexer) await writeAll(io.stdout, chunk);
    else {
      for (const { stream, data } of demultiplexer.push(chunk)) {
        await writeAll(stream === 2 ? io.stderr : io.stdout, data);
      }
    }
  }
}
