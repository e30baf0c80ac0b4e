// The daemon as the sender of one file (FileSend.DiffCopy): an archive of `--output`.

import { failedWith } from "../wire/index.ts";
import { bytesMessage } from "./bytes-message.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { GrpcCall, Metadata } from "./grpc-call.ts";

export const FILE_SEND = "/moby.filesync.v1.FileSend/DiffCopy";
/** gRPC's clients take 4 MiB; far less keeps the memory small. */
const CHUNK_BYTES = 256 * 1024;

/** Which output it is, and what is known of the result. */
export function exporterMetadata(
  exporter: string,
  facts: Readonly<Record<string, string>>,
): Metadata {
  const entries = Object.entries(facts).map(([name, value]) => [
    `exporter-md-${name.toLowerCase()}`,
    value.replace(/[^\x20-\x7e]/g, (sign) => encodeURIComponent(sign)),
  ]);
  return { ...Object.fromEntries(entries), "buildkit-attachable-exporter-id": exporter || "0" };
}

/** Resolves when the client has written everything. */
export async function sendFile(
  connection: ClientConnection,
  output: { exporter: string; metadata: Readonly<Record<string, string>> },
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const end = Promise.withResolvers<void>();
  end.promise.catch(() => {});
  let isOver = false;
  const call: GrpcCall = connection.call({
    path: FILE_SEND,
    metadata: exporterMetadata(output.exporter, output.metadata),
    signal: AbortSignal.any([signal, stop.signal]),
    message: () => {},
    ended: (error) => {
      isOver = true;
      // The client has this file already and wants it no second time.
      if (error === undefined || failedWith(error, "AlreadyExists")) end.resolve();
      else end.reject(error);
    },
  });
  try {
    for await (const piece of bytes) {
      for (let at = 0; at < piece.length && !isOver; at += CHUNK_BYTES) {
        await call.send(bytesMessage(piece.subarray(at, at + CHUNK_BYTES)));
      }
      if (isOver) break;
    }
    call.finish();
    await end.promise;
  } catch (error) {
    stop.abort(error);
    throw error;
  }
}
