// A client's content store over its session (containerd's content service): where `oci-layout://`
// is read from and `--cache-to type=local` is written to.

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { GantryError } from "../base/index.ts";
import type { SessionContentStore } from "../engine/index.ts";
import { content } from "../gen/buildkit/index.ts";
import { failedWith } from "../wire/index.ts";
import type { ClientConnection } from "./client-connection.ts";
import { MessageQueue } from "./message-queue.ts";

const SERVICE = "/containerd.services.content.v1.Content";
/** What an answer takes here beside its bytes: one that nobody asked for, too. */
const ANSWER_BYTES = 256;
const CHUNK_BYTES = 256 * 1024;

type Request = MessageInitShape<typeof content.WriteContentRequestSchema>;

export function contentStore(connection: ClientConnection, name: string): SessionContentStore {
  const metadata = { "buildkit-attachable-store-id": name };
  return {
    size: async (digest, { signal }) => {
      const request = create(content.InfoRequestSchema, { digest });
      const bytes = toBinary(content.InfoRequestSchema, request);
      try {
        const answer = await connection.ask(`${SERVICE}/Info`, bytes, { signal, metadata });
        return Number(fromBinary(content.InfoResponseSchema, answer).info?.size ?? 0n);
      } catch (error) {
        if (failedWith(error, "NotFound")) return undefined;
        throw error;
      }
    },
    read: (digest, { signal }) => read(connection, { metadata, digest, signal }),
    write: (blob, bytes, { signal }) => write(connection, { metadata, signal }, blob, bytes),
  };
}

interface Place {
  metadata: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

async function* read(
  connection: ClientConnection,
  { metadata, digest, signal }: Place & { digest: string },
): AsyncGenerator<Uint8Array> {
  const queue = new MessageQueue<Uint8Array>();
  const call = connection.call({
    ...{ path: `${SERVICE}/Read`, metadata, signal },
    message: (bytes) => {
      const { data } = fromBinary(content.ReadContentResponseSchema, bytes);
      queue.push(data, data.length);
    },
    ended: (error) => queue.end(error),
  });
  queue.call = call;
  const request = create(content.ReadContentRequestSchema, { digest });
  void call.send(toBinary(content.ReadContentRequestSchema, request));
  call.finish();
  yield* queue;
}

async function write(
  connection: ClientConnection,
  { metadata, signal }: Place,
  { digest, size, labels }: Parameters<SessionContentStore["write"]>[0],
  bytes: AsyncIterable<Uint8Array>,
): Promise<void> {
  const stop = new AbortController();
  const answers = new MessageQueue<content.WriteContentResponse>();
  const call = connection.call({
    path: `${SERVICE}/Write`,
    metadata,
    signal: AbortSignal.any([signal, stop.signal]),
    message: (answer) =>
      answers.push(
        fromBinary(content.WriteContentResponseSchema, answer),
        ANSWER_BYTES + answer.length,
      ),
    ended: (error) => answers.end(error),
  });
  answers.call = call;
  const ref = `gantry-${digest}`;
  const total = BigInt(size);
  const tell = async (request: Request): Promise<content.WriteContentResponse> => {
    const message = create(content.WriteContentRequestSchema, { ref, ...request });
    await call.send(toBinary(content.WriteContentRequestSchema, message));
    const answer = await answers.next();
    if (answer) return answer;
    throw new GantryError("corrupt", "the client's content store stopped answering");
  };
  try {
    const { WriteAction } = content;
    const begun = await tell({ action: WriteAction.STAT, total, expected: digest });
    // What an earlier try left is written again: it may be another's.
    let offset = 0n;
    if (begun.offset > 0n) await tell({ action: WriteAction.WRITE, offset, total });
    for await (const piece of bytes) {
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
        const data = piece.subarray(at, at + CHUNK_BYTES);
        await tell({ action: WriteAction.WRITE, offset, data, total });
        offset += BigInt(data.length);
      }
    }
    const end = { offset, total, expected: digest, labels: labels ?? {} };
    await tell({ action: WriteAction.COMMIT, ...end });
    call.finish();
  } catch (error) {
    stop.abort(error);
    if (failedWith(error, "AlreadyExists")) return;
    throw error;
  }
}
