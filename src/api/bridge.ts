// Couples a taken-over connection with a container's streams: back-pressure both ways, half-close
// both ways, and nobody waits for ever for a client that does not hang up.

import type { Duplex, Readable, Writable } from "node:stream";

/** How long a client may keep the connection after the container's output has ended. */
const lingerMs = 10_000;

/** Resolves when the connection is closed. Without `stdin` what the client sends is dropped. */
export function bridge(
  client: { input: Readable; output: Writable },
  stream: Duplex,
  { stdin }: { stdin: boolean },
): Promise<void> {
  const { input, output } = client;
  return new Promise((resolve) => {
    let linger: NodeJS.Timeout | undefined;
    input.on("error", () => {});
    output.on("error", () => {});
    output.on("close", () => {
      clearTimeout(linger);
      stream.destroy();
      resolve();
    });
    output.on("finish", () => {
      input.resume();
      linger = setTimeout(() => output.destroy(), lingerMs);
      linger.unref();
    });
    // A broken stream looks like an ended one: what was written so far still reaches the client.
    stream.on("error", () => output.end());
    stream.on("close", () => output.end());
    if (stdin) input.pipe(stream);
    else input.resume();
    stream.pipe(output);
    if (stream.destroyed) output.end();
    if (output.destroyed) {
      stream.destroy();
      resolve();
    }
  });
}
