// Takes one file that the daemon sends (--output type=tar, oci or docker with a destination), to
// standard output or to a path that appears only when it is whole.

import { lstat, open, rename, rm } from "node:fs/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { filesync } from "../../../../gen/buildkit/index.ts";
import { type Output, writeAll } from "../../../io.ts";
import type { ServedCall } from "./grpc-server.ts";

/** Serves one call of FileSend.DiffCopy with a file as its target. */
export async function receiveFile(
  call: ServedCall,
  target: { path: string } | { stdout: Output },
): Promise<void> {
  if ("stdout" in target) {
    for await (const bytes of chunksOf(call)) await writeAll(target.stdout, bytes);
    return;
  }
  const { path } = target;
  const there = await lstat(path).catch(() => undefined);
  // A pipe or a device is written to, not replaced.
  const direct = there !== undefined && !there.isFile();
  const temporary = direct ? path : `${path}.gantry-${process.pid}.tmp`;
  const file = await open(temporary, direct ? "w" : "wx", 0o644);
  try {
    for await (const bytes of chunksOf(call)) {
      for (let at = 0; at < bytes.length; ) {
        at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
      }
    }
    await file.close();
    if (!direct) await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    if (!direct) await rm(temporary, { force: true });
    throw error;
  }
}

async function* chunksOf(call: ServedCall): AsyncGenerator<Uint8Array, void, void> {
  for await (const messages of call.messages()) {
    for (const message of messages) yield fromBinary(filesync.BytesMessageSchema, message).data;
  }
}
