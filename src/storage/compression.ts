// Finds out how an archive is compressed by its first bytes and undoes it, streaming. gzip and
// zstd come with Node, bzip2 with a library, xz with the machine (decision 93).

import { PassThrough, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { GantryError } from "../base/index.ts";
import { bunzip2 } from "./bunzip2.ts";
import { unxz } from "./unxz.ts";

export type Compression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const MAGIC: readonly [Compression, readonly number[]][] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];
const CHUNK_BYTES = 256 * 1024;

export function detectCompression(head: Uint8Array): Compression {
  if (isSkippableZstdFrame(head)) return "zstd";
  const found = MAGIC.find(([, magic]) => magic.every((byte, at) => head[at] === byte));
  return found?.[0] ?? "none";
}

/** pzstd and zstd:chunked begin with a frame of metadata: 0x184D2A50–5F, little-endian. */
function isSkippableZstdFrame(head: Uint8Array): boolean {
  return (head[0]! & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
}

/** Reads at least `bytes` (or all) without taking them: the returned stream gives everything.
 * `source` stays its owner's. When the returned stream is destroyed, the rest of the source is
 * read and dropped: a request's body must be taken for the answer to be seen. */
export async function peek(
  source: Readable,
  bytes: number,
): Promise<{ head: Buffer; stream: Readable }> {
  // Errors show when the bytes are read; an error that comes before is not "unhandled".
  source.on("error", () => {});
  const chunks: Buffer[] = [];
  let size = 0;
  const iterator = source.iterator({ destroyOnReturn: false });
  for await (const chunk of iterator) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size >= bytes) break;
  }
  const head = Buffer.concat(chunks);
  const stream = new PassThrough({ highWaterMark: CHUNK_BYTES });
  if (head.length > 0) stream.write(head);
  if (source.errored) throw source.errored;
  if (source.readableEnded || source.destroyed) stream.end();
  else forward(source, stream, () => source.unpipe(stream).resume());
  return { head, stream };
}

/** Pipes, and lets errors and an early end go through in both directions. */
function forward<T extends NodeJS.WritableStream & Readable>(
  source: Readable,
  to: T,
  release: () => unknown = () => source.destroy(),
): T {
  source.once("error", (error) => to.destroy(error));
  to.on("error", () => {});
  to.once("close", release);
  source.once("close", () => {
    if (!source.readableEnded) to.destroy(new GantryError("corrupt", "unexpected EOF"));
  });
  return source.pipe(to);
}

/** The uncompressed bytes of `source`, whatever it is. */
export async function decompress(
  source: Readable,
): Promise<{ compression: Compression; stream: Readable }> {
  const { head, stream } = await peek(source, 6);
  const compression = detectCompression(head);
  return { compression, stream: decompressAs(stream, compression) };
}

/** The uncompressed bytes of a stream whose compression is known. */
export function decompressAs(source: Readable, compression: Compression): Readable {
  switch (compression) {
    case "none":
      return source;
    case "gzip":
      return forward(source, createGunzip({ chunkSize: CHUNK_BYTES }));
    case "zstd":
      return forward(source, createZstdDecompress({ chunkSize: CHUNK_BYTES }));
    case "bzip2":
      return Readable.from(bunzip2(source), { objectMode: false });
    case "xz":
      return unxz(source);
  }
}
