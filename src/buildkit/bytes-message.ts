// BytesMessage, which every service of the session has for itself: field 1 is the bytes.

import { fromBinary } from "@bufbuild/protobuf";
import { upload } from "../gen/buildkit/index.ts";

const DATA_FIELD = 0x0a;

export function bytesMessage(data: Uint8Array): Uint8Array {
  const head = [DATA_FIELD];
  let rest = data.length;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.concat([Uint8Array.from(head), data]);
}

export function readBytesMessage(bytes: Uint8Array): Uint8Array {
  return fromBinary(upload.BytesMessageSchema, bytes).data;
}
