// What a container or an exec has written, taken out of Docker's frames where there is no terminal.

import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type Docker from "dockerode";

export async function outputOf(
  container: Docker.Container,
  stream: NodeJS.ReadWriteStream,
  tty: boolean,
): Promise<string> {
  if (tty) return (await buffer(stream as unknown as PassThrough)).toString();
  const out = new PassThrough();
  container.modem.demuxStream(stream, out, out);
  stream.on("end", () => out.end());
  stream.on("close", () => out.end());
  return (await buffer(out)).toString();
}
