// containerd's content service on a client's connection, to read only: where the documents are that
// records of the history name by their digests.

import type { ServiceImpl } from "@connectrpc/connect";
import { GantryError } from "../base/index.ts";
import type { content } from "../gen/buildkit/index.ts";
import type { ServicePlace } from "./make-job.ts";

const CHUNK_BYTES = 1024 * 1024;

export function contentService({
  engine,
}: ServicePlace): Partial<ServiceImpl<typeof content.Content>> {
  const document = async (digest: string): Promise<Buffer> => {
    const text = await engine.builds.history.statement(digest);
    if (text === undefined) throw new GantryError("not-found", `content ${digest}: not found`);
    return Buffer.from(text);
  };
  return {
    info: async ({ digest }) => {
      const { length } = await document(digest);
      return { info: { digest, size: BigInt(length) } };
    },
    read: async function* ({ digest, offset, size }) {
      const whole = await document(digest);
      const end = size > 0n ? Number(offset + size) : whole.length;
      if (offset < 0n || size < 0n || end > whole.length) {
        throw new GantryError("invalid", `content ${digest} has ${whole.length} bytes`);
      }
      for (let at = Number(offset); at < end; at += CHUNK_BYTES) {
        const data = whole.subarray(at, Math.min(end, at + CHUNK_BYTES));
        yield { offset: BigInt(at), data };
      }
    },
  };
}
