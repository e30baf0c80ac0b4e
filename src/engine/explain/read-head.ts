// The first bytes of a file in a container, through the archiver that has entered its root: no
// link or race leads outside. The rest of the archive is not read.

import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";

const HEAD_BYTES = 64 * 1024;
const BLOCK = 512;

export async function readHead(
  engine: EngineContext,
  source: RootSource,
  path: string,
): Promise<Buffer> {
  const stop = new AbortController();
  const tar = engine.files.tar(source, path, { signal: stop.signal });
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of tar) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > HEAD_BYTES + 8 * BLOCK) break;
    }
  } catch {
    // What came until then is looked at.
  } finally {
    stop.abort();
    tar.destroy();
  }
  return contentOf(Buffer.concat(chunks));
}

/** The content of the first regular file of a tar that may be cut off. Pure. */
export function contentOf(tar: Buffer): Buffer {
  let at = 0;
  while (at + BLOCK <= tar.length) {
    const type = tar.toString("latin1", at + 156, at + 157);
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8) || 0;
    at += BLOCK;
    if (type === "0" || type === "\0") return tar.subarray(at, at + Math.min(size, HEAD_BYTES));
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return Buffer.alloc(0);
}
