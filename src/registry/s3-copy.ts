// Copies inside the store: the server moves the bytes. One request up to a size, ranges side by
// side above it, because one CopyObject takes 5 GiB at most and is slow long before that.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Rollback } from "../base/index.ts";
import type { Place } from "./s3-listing.ts";

const rangesAtOnceMax = 4;

export interface CopyRequest {
  from: string;
  to: string;
  size: number;
  /** The copy fails when `from` is not this (any more). */
  etag: string;
  copyBytesMax: number;
  extra: { StorageClass?: string; ServerSideEncryption?: string; SSEKMSKeyId?: string };
}

export async function copyObject(place: Place, request: CopyRequest): Promise<void> {
  const { client, bucket } = place;
  const { from, to, size, etag, copyBytesMax } = request;
  const source = { CopySource: copySource(bucket, from), CopySourceIfMatch: etag };
  const extra = request.extra as object;
  if (size <= copyBytesMax) {
    await client.send(new CopyObjectCommand({ Bucket: bucket, Key: to, ...source, ...extra }));
    return;
  }
  const target = { Bucket: bucket, Key: to };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...target, ...extra }));
  await using undo = new Rollback();
  undo.defer("multipart upload", () =>
    client.send(new AbortMultipartUploadCommand({ ...target, UploadId })),
  );
  const Parts: { PartNumber: number; ETag: string }[] = [];
  const count = Math.ceil(size / copyBytesMax);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      const last = Math.min(size, (n + 1) * copyBytesMax) - 1;
      const answer = await client.send(
        new UploadPartCopyCommand({
          ...target,
          ...source,
          UploadId,
          PartNumber: n + 1,
          CopySourceRange: `bytes=${n * copyBytesMax}-${last}`,
        }),
      );
      Parts[n] = { PartNumber: n + 1, ETag: answer.CopyPartResult?.ETag ?? "" };
    }
  };
  const workers = Array.from({ length: rangesAtOnceMax }, () =>
    work().catch((error) => {
      next = count;
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(workers)).find(({ status }) => status === "rejected");
  if (failed) throw (failed as PromiseRejectedResult).reason;
  await client.send(
    new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
  );
  undo.commit();
}

export function copySource(bucket: string, key: string): string {
  return `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}
