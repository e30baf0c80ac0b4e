// Who changes an upload holds it, so that no other process can write into what is being hashed: an
// object that only one can create. The holder renews it; one that has not been renewed belongs to a
// process that died. Where a server knows no conditional writes nobody is kept out, and the ETags
// that a process remembers (s3-uploads.ts) are what is left to notice it.

import { randomUUID } from "node:crypto";
import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import { isMissing } from "./s3-client.ts";
import type { Place } from "./s3-listing.ts";

const renewMs = 5_000;
const deadAfterMs = 20_000;

/** Runs `work` while it holds `key`. Throws conflict when somebody else does. */
export async function holding<T>(place: Place, key: string, work: () => Promise<T>): Promise<T> {
  const { client, bucket } = place;
  const target = { Bucket: bucket, Key: key };
  const Body = randomUUID();
  if (!(await take(place, { ...target, Body }))) {
    throw new GantryError("conflict", "The upload is busy");
  }
  const renewal = setInterval(() => {
    client.send(new PutObjectCommand({ ...target, Body })).catch(() => {});
  }, renewMs);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    // Left behind it keeps others off for a moment, no more.
    await client.send(new DeleteObjectCommand(target)).catch(() => {});
  }
}

type Put = { Bucket: string; Key: string; Body: string };

async function take(place: Place, put: Put): Promise<boolean> {
  if (await create(place, put)) return true;
  const { Bucket, Key } = put;
  const head = await place.client.send(new HeadObjectCommand({ Bucket, Key })).catch((error) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (head === undefined) return create(place, put);
  const age = Date.now() - (head.LastModified?.getTime() ?? 0);
  if (age < deadAfterMs) return false;
  await place.client.send(new DeleteObjectCommand({ Bucket, Key }));
  return create(place, put);
}

async function create({ client }: Place, put: Put): Promise<boolean> {
  try {
    await client.send(new PutObjectCommand({ ...put, IfNoneMatch: "*" }));
    return true;
  } catch (error) {
    const { name } = error as Error;
    if (name === "NotImplemented") return true;
    if (name === "PreconditionFailed" || name === "ConditionalRequestConflict") return false;
    throw error;
  }
}
