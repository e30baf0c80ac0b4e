// The caller's standard streams joined to a stream, for `dial-stdio`: another program speaks its
// protocol through us.

import type { Duplex } from "node:stream";
import { type Io, writeAll } from "../io.ts";

/** Resolves when the stream has ended. The end of one direction leaves the other open: answers come
 * after the last request. */
export async function joinStandardStreams(io: Io, stream: Duplex): Promise<void> {
  const abort = (): void => void stream.destroy();
  io.signal.addEventListener("abort", abort);
  io.stdin.open().pipe(stream);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) await writeAll(io.stdout, chunk);
  } finally {
    io.signal.removeEventListener("abort", abort);
    io.stdin.close();
    stream.destroy();
  }
}
