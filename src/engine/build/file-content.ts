// The content of single files of a context or a file system, read by the native program, which has
// entered the root: a link cannot lead it outside.

import { Readable } from "node:stream";
import { errnoOf, GantryError } from "../../base/index.ts";
import { decompress, type RootFiles, type RootSource } from "../../storage/index.ts";
import { TarScanner } from "./tar-scanner.ts";

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const HEADER_BYTES = 512;

/** The bytes of a file, which is no link. */
export function contentOf(
  files: RootFiles,
  source: RootSource,
  { path }: { path: string },
  { signal }: { signal: AbortSignal },
): Readable {
  return Readable.from(content(files.tar(source, path, { name: "x", signal })), {
    objectMode: false,
    highWaterMark: 256 * 1024,
  });
}

async function* content(tar: Readable): AsyncGenerator<Buffer> {
  const parts: Buffer[] = [];
  const scanner = new TarScanner({ file: () => {}, data: (chunk) => parts.push(chunk) });
  for await (const chunk of tar) {
    scanner.push(chunk as Buffer);
    yield* parts.splice(0);
  }
  scanner.end();
}

/** Whether the bytes are a tar, compressed or not. The stream is done with afterwards. */
export async function isArchive(bytes: Readable): Promise<boolean> {
  let plain: Readable | undefined;
  try {
    plain = (await decompress(bytes)).stream;
    const head: Buffer[] = [];
    let size = 0;
    for await (const chunk of plain) {
      head.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size >= HEADER_BYTES) break;
    }
    return isTarHeader(Buffer.concat(head));
  } catch (error) {
    const refused = error instanceof GantryError && error.kind !== "corrupt";
    if (refused) throw error;
    return false; // it only looked compressed
  } finally {
    plain?.destroy();
    bytes.destroy();
  }
}

/** The sum of a header's bytes, its own field taken as blanks, stands in it in octal. */
export function isTarHeader(header: Buffer): boolean {
  if (header.length < HEADER_BYTES || header[0] === 0) return false;
  let sum = 8 * 32;
  for (let at = 0; at < HEADER_BYTES; at++) if (at < 148 || at >= 156) sum += header[at]!;
  const written = header
    .toString("latin1", 148, 156)
    .replace(/[\0 ]+$/, "")
    .trim();
  return /^[0-7]+$/.test(written) && Number.parseInt(written, 8) === sum;
}

/** A small file, links followed inside the root; undefined when there is none. */
export async function readFileIn(
  files: RootFiles,
  source: RootSource,
  path: string,
  { signal, bytesMax }: { signal: AbortSignal; bytesMax: number },
): Promise<Buffer | undefined> {
  const stat = await files.stat(source, path, { follow: true, signal }).catch((error) => {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  });
  if (stat === undefined) return undefined;
  if ((stat.mode & S_IFMT) !== S_IFREG) {
    throw new GantryError("invalid", `${path} is not a regular file`);
  }
  if (stat.size > bytesMax) {
    throw new GantryError("invalid", `${path} is larger than ${bytesMax} bytes`);
  }
  const chunks: Buffer[] = [];
  const bytes = contentOf(files, source, { path: stat.resolved || path }, { signal });
  for await (const chunk of bytes) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
