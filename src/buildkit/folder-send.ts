// The daemon as the sender of a folder (FileSend.DiffCopy with `--output type=local`): tells every
// file in order, sends the contents that the client asks for, and ends when the client has all.

import { constants } from "node:fs";
import { GantryError } from "../base/index.ts";
import type { ClientFile, FolderSink } from "../engine/index.ts";
import { PACKET, PacketWriter, readPacket } from "../wire/index.ts";
import type { ClientConnection } from "./client-connection.ts";
import { exporterMetadata, FILE_SEND } from "./file-send.ts";
import { MessageQueue } from "./message-queue.ts";

/** What a request takes here; a client may repeat it as often as it likes. */
const REQUEST_BYTES = 16;
/** As fsutil's own. */
const CHUNK_BYTES = 32 * 1024;
const { S_IFMT, S_IFREG } = constants;

type Send = (packet: Parameters<PacketWriter["write"]>[0]) => Promise<void> | undefined;

/** Resolves when the client has written everything. */
export async function sendFolder(
  connection: ClientConnection,
  exporter: string,
  folder: FolderSink,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const end = Promise.withResolvers<void>();
  end.promise.catch(() => {});
  const asked = new MessageQueue<number>();
  const files = new Map<number, string>();
  const call = connection.call({
    path: FILE_SEND,
    metadata: exporterMetadata(exporter, {}),
    signal: AbortSignal.any([signal, stop.signal]),
    message: (bytes) => {
      const { type, id, data } = readPacket(bytes);
      if (type === PACKET.request) {
        if (!files.has(id)) throw new GantryError("corrupt", `invalid file id ${id}`);
        asked.push(id, REQUEST_BYTES);
      } else if (type === PACKET.finish) asked.end(undefined);
      else if (type === PACKET.error)
        throw new GantryError("internal", `error from receiver: ${data}`);
    },
    ended: (error) => {
      asked.end(error ?? new GantryError("cancelled", "the client stopped taking the folder"));
      if (error === undefined) end.resolve();
      else end.reject(error);
    },
  });
  asked.call = call;
  const writer = new PacketWriter();
  const send: Send = (packet) => {
    writer.write(packet);
    return call.sendFrames(writer.take());
  };
  try {
    // Contents are asked for while names are still on their way.
    await Promise.all([sendNames(send, folder, files), sendContents(send, folder, files, asked)]);
    void send({ type: PACKET.finish });
    call.finish();
    await end.promise;
  } catch (error) {
    stop.abort(error);
    throw error;
  }
}

async function sendNames(
  send: Send,
  folder: FolderSink,
  files: Map<number, string>,
): Promise<void> {
  let index = 0;
  for await (const file of folder.entries) {
    if (isContent(file)) files.set(index, file.path);
    index++;
    await send({ type: PACKET.stat, stat: file });
  }
  await send({ type: PACKET.stat });
}

const isContent = ({ mode, linkname }: ClientFile): boolean =>
  (mode & S_IFMT) === S_IFREG && linkname === "";

async function sendContents(
  send: Send,
  folder: FolderSink,
  files: Map<number, string>,
  asked: MessageQueue<number>,
): Promise<void> {
  for (let id = await asked.next(); id !== undefined; id = await asked.next()) {
    const path = files.get(id);
    if (path === undefined) throw new GantryError("corrupt", `invalid file id ${id}`);
    files.delete(id);
    for await (const bytes of folder.open(path)) {
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        const data = bytes.subarray(at, at + CHUNK_BYTES);
        await send({ type: PACKET.data, id, data });
      }
    }
    await send({ type: PACKET.data, id });
  }
}
