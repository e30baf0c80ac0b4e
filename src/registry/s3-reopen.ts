// An upload whose bytes were put into one object to be read takes more bytes again: the object
// becomes the parts of a new multipart upload, copied by the server. Removing it is the last step,
// so that a crash on the way changes nothing.

import { randomBytes } from "node:crypto";
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import type { S3Extra } from "./s3-append.ts";
import { copySource } from "./s3-copy.ts";
import type { Place } from "./s3-listing.ts";
import { dataKey, multipartKey, pieceKey, type UploadState } from "./s3-upload-state.ts";

export async function reopenUpload(
  { client, bucket }: Place,
  folder: string,
  {
    state,
    extra,
  }: { state: UploadState & { data: { size: number; etag: string } }; extra: S3Extra },
): Promise<UploadState> {
  const { partBytes, data } = state;
  const target = { Bucket: bucket, Key: dataKey(folder) };
  const source = { CopySource: copySource(bucket, target.Key), CopySourceIfMatch: data.etag };
  const whole = Math.floor(data.size / partBytes);
  const opened: UploadState = { ...state, parts: [], pieces: [], size: data.size };
  delete opened.data;
  delete opened.multipart;
  if (whole > 0) {
    const { UploadId: id = "" } = await client.send(
      new CreateMultipartUploadCommand({ ...target, ...extra }),
    );
    for (let n = 0; n < whole; n++) {
      const CopySourceRange = `bytes=${n * partBytes}-${(n + 1) * partBytes - 1}`;
      const part = { UploadId: id, PartNumber: n + 1, CopySourceRange };
      const answer = await client.send(
        new UploadPartCopyCommand({ ...target, ...source, ...part }),
      );
      opened.parts.push(answer.CopyPartResult?.ETag ?? "");
    }
    const marker = multipartKey(folder, id);
    await client.send(new PutObjectCommand({ ...target, Key: marker, Body: Buffer.alloc(0) }));
    opened.multipart = { id, marker };
  }
  const offset = whole * partBytes;
  if (data.size > offset) {
    const Range = `bytes=${offset}-`;
    const rest = await client.send(new GetObjectCommand({ ...target, Range, IfMatch: data.etag }));
    const Body = await rest.Body?.transformToByteArray();
    if (Body?.length !== data.size - offset) {
      throw new GantryError("unavailable", "The object store gave an upload back incompletely");
    }
    const key = pieceKey(folder, offset, randomBytes(8).toString("hex"));
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body }));
    opened.pieces.push({ key, offset, size: Body.length });
  }
  await client.send(new DeleteObjectCommand(target));
  return opened;
}
