// Where the bytes of an upload come from. A feed can be opened again at any byte, so that an upload
// which was cut goes on where the registry says, without what was sent being kept anywhere.

import type { Readable } from "node:stream";
import { GantryError, GZIP_START, type GzipPoint, parallelGzip } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";
import type { Registry } from "./registry.ts";

export interface BlobFeed {
  /** Known beforehand: then what is sent must be exactly this. */
  blob?: { digest: string; size: number };
  /** The bytes from `at` on; the same ones every time. */
  open(at: number): AsyncIterable<Buffer>;
  /** Its failures are those of a network: worth another try. */
  remote?: boolean;
  /** Why a remote feed stopped the last time. */
  failed?: unknown;
}

export function bytesFeed(bytes: Uint8Array, digest = digestOf(bytes)): BlobFeed {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    blob: { digest, size: whole.length },
    async *open(at) {
      yield whole.subarray(at);
    },
  };
}

/** A blob that can be read here from its first byte: kept as it is, or an uncompressed tar. */
export function storedFeed({ digest, size }: Descriptor, open: () => Promise<Readable>): BlobFeed {
  return {
    blob: { digest, size },
    async *open(at) {
      yield* skipping(await open(), at);
    },
  };
}

/** A layer that is compressed on its way. `onTar` is told how much of the tar has been read. */
export function gzipFeed(tar: () => Promise<Readable>, onTar?: (bytes: number) => void): BlobFeed {
  const points: GzipPoint[] = [GZIP_START];
  return {
    async *open(at) {
      const from = points.findLast(({ output }) => output <= at) ?? GZIP_START;
      const input = metered(skipping(await tar(), from.input), from.input, onTar);
      const onPoint = (point: GzipPoint): void => {
        if (point.output > points.at(-1)!.output) points.push(point);
      };
      yield* skipping(parallelGzip(input, { from, onPoint }), at - from.output);
    },
  };
}

/** A blob that another registry holds, passed on without being stored. */
export function remoteFeed(registry: Registry, repository: string, blob: Descriptor): BlobFeed {
  const feed: BlobFeed = {
    blob: { digest: blob.digest, size: blob.size },
    remote: true,
    async *open(at) {
      try {
        yield* readRemote(registry, repository, blob, at);
      } catch (error) {
        feed.failed = error;
        throw error;
      }
    },
  };
  return feed;
}

async function* readRemote(
  registry: Registry,
  repository: string,
  blob: Descriptor,
  at: number,
): AsyncGenerator<Buffer> {
  if (at === blob.size) return;
  const { response, offset } = await registry.blob(repository, blob, at > 0 ? { from: at } : {});
  if (offset < 0 || offset > at) {
    response.destroy();
    throw new GantryError("corrupt", "registry answered with a range that was not asked for");
  }
  yield* skipping(response, at - offset);
}

async function* skipping(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let skip = bytes;
  for await (const chunk of source) {
    if (skip < chunk.length) yield skip === 0 ? chunk : chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
  }
}

async function* metered(
  source: AsyncIterable<Buffer>,
  start: number,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  let bytes = start;
  for await (const chunk of source) {
    onBytes?.((bytes += chunk.length));
    yield chunk;
  }
}
