// Control.Session: the bytes of a session's connection as messages of a call, both ways.

import { Duplex } from "node:stream";

const CHUNK_BYTES = 32 * 1024;

/** Runs `serve` on a stream made of the messages; yields what it writes. */
export async function* tunnel(
  messages: AsyncIterable<{ data: Uint8Array }>,
  serve: (socket: Duplex) => Promise<void>,
): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
  const incoming = messages[Symbol.asyncIterator]();
  const outgoing: { chunk: Buffer; done: () => void }[] = [];
  let news = Promise.withResolvers<void>();
  let isOver = false;
  const socket = new Duplex({
    read: () => {
      incoming.next().then(
        ({ done, value }) => socket.push(done ? null : Buffer.from(value.data)),
        (error) => socket.destroy(error instanceof Error ? error : undefined),
      );
    },
    write: (chunk: Buffer, _encoding, done) => {
      outgoing.push({ chunk, done });
      news.resolve();
    },
    final: (done) => {
      isOver = true;
      news.resolve();
      done();
    },
    destroy: (error, done) => {
      isOver = true;
      news.resolve();
      done(error);
    },
  });
  socket.on("error", () => {});
  const serving = serve(socket).finally(() => socket.destroy());
  try {
    while (!isOver) {
      await news.promise;
      news = Promise.withResolvers();
      for (let next = outgoing.shift(); next; next = outgoing.shift()) {
        for (let at = 0; at < next.chunk.length; at += CHUNK_BYTES) {
          const data = next.chunk.subarray(at, at + CHUNK_BYTES) as Buffer<ArrayBuffer>;
          yield { data };
        }
        next.done();
      }
    }
  } finally {
    socket.destroy();
    await serving;
  }
}
