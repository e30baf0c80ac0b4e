// Who changes an upload holds it, so that no other process can write into what is being hashed: an
// object that only one can create. The holder renews it; one that has not been renewed belongs to a
// process that died. Where a server knows no conditional writes the ETags that a process remembers
// (s3-uploads.ts) are what is left to notice another one.

import { CopyObjectCommand, DeleteObjectCommand } from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import { copySource } from "./s3-copy.ts";
import { createObject } from "./s3-create.ts";
import type { Place } from "./s3-listing.ts";

const renewMs = 5_000;
const deadAfterMs = 20_000;

/** Runs `work` while it holds `key`. Throws conflict when somebody else does. */
export async function holding<T>(place: Place, key: string, work: () => Promise<T>): Promise<T> {
  const { client, bucket } = place;
  const target = { Bucket: bucket, Key: key };
  if (!(await take(place, key))) throw new GantryError("conflict", "The upload is busy");
  const renewal = setInterval(() => {
    const renewed = { CopySource: copySource(bucket, key), MetadataDirective: "REPLACE" } as const;
    client.send(new CopyObjectCommand({ ...target, ...renewed })).catch(() => {});
  }, renewMs);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    // Left behind it keeps others off for a moment, no more.
    await client.send(new DeleteObjectCommand(target)).catch(() => {});
  }
}

async function take(place: Place, key: string): Promise<boolean> {
  const put = { Key: key, Body: Buffer.alloc(0) };
  const first = await createObject(place, put);
  if (first.isMine) return true;
  const { found } = first;
  if (found !== undefined) {
    if (Date.now() - (found.LastModified?.getTime() ?? 0) < deadAfterMs) return false;
    await place.client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: key }));
  }
  return (await createObject(place, put)).isMine;
}
