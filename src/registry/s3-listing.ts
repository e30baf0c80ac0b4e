// Listing keys, page by page, and removing many of them with few requests.

import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  type S3Client,
} from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";

/** S3's limit for one DeleteObjects. */
const deletesMax = 1000;
const pageMax = 1000;
const probesAtOnceMax = 32;
/** For servers without DeleteObjects. */
const deletesAtOnceMax = 16;

export interface ListedObject {
  key: string;
  size: number;
  etag: string;
  modifiedAt: Date;
}
export interface Place {
  client: S3Client;
  bucket: string;
}

/** Every object whose key starts with `prefix`, by key. */
export async function* listObjects(
  { client, bucket }: Place,
  prefix: string,
): AsyncGenerator<ListedObject> {
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        ...(token ? { ContinuationToken: token } : {}),
      }),
    );
    for (const { Key = "", Size = 0, ETag = "", LastModified = new Date(0) } of page.Contents ?? [])
      if (!Key.endsWith("/")) yield { key: Key, size: Size, etag: ETag, modifiedAt: LastModified };
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

/** Names directly beneath `prefix` (which ends in a slash) after `after`, by code unit; folders
 * end in a slash. Without `byKey` nothing is taken for granted: servers that keep folders list
 * "a" before "a-b", although "a/" comes after "a-b/", and show folders that are empty. */
export async function listNames(
  { client, bucket }: Place,
  prefix: string,
  { after = "", limit = Infinity, byKey }: { after?: string; limit?: number; byKey: boolean },
): Promise<string[]> {
  const names = new Set<string>();
  let token: string | undefined;
  // A folder comes again for each of its keys; no name of ours goes on with a tilde.
  const start = after.endsWith("/") ? `${after}~` : after;
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        Delimiter: "/",
        ...(byKey ? { MaxKeys: Math.min(pageMax, limit - names.size + 1) } : {}),
        ...(byKey && start && !token ? { StartAfter: prefix + start } : {}),
        ...(token ? { ContinuationToken: token } : {}),
      }),
    );
    for (const { Key = "" } of page.Contents ?? []) names.add(Key.slice(prefix.length));
    for (const { Prefix = "" } of page.CommonPrefixes ?? []) names.add(Prefix.slice(prefix.length));
    names.delete("");
    names.delete(after);
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined && !(byKey && names.size >= limit));
  const wanted = [...names].filter((name) => name > after).sort();
  if (byKey) return wanted.slice(0, limit);
  const there: string[] = [];
  for (let at = 0; at < wanted.length && there.length < limit; at += probesAtOnceMax) {
    const some = wanted.slice(at, at + Math.min(probesAtOnceMax, limit - there.length));
    const full = await Promise.all(some.map((name) => isThere({ client, bucket }, prefix + name)));
    there.push(...some.filter((_, n) => full[n]));
    at -= probesAtOnceMax - some.length;
  }
  return there;
}

/** An object was listed, so it is; a folder is there when it has something in it. */
async function isThere({ client, bucket }: Place, key: string): Promise<boolean> {
  if (!key.endsWith("/")) return true;
  const few = new ListObjectsV2Command({ Bucket: bucket, Prefix: key, MaxKeys: 2 });
  const { Contents = [] } = await client.send(few);
  return Contents.some(({ Key }) => Key !== key);
}

/** Removes keys, those that are not there too. */
export async function removeKeys(place: Place, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += deletesMax) {
    await removeBatch(place, keys.slice(at, at + deletesMax));
  }
}

async function removeBatch(place: Place, keys: readonly string[]): Promise<void> {
  const { client, bucket } = place;
  if (keys.length === 1) return removeOne(place, keys[0]!);
  const Objects = keys.map((Key) => ({ Key }));
  const request = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } });
  const answer = await client.send(request).catch((error: Error) => {
    const lacks = ["NotImplemented", "MissingContentMD5", "InvalidRequest", "MethodNotAllowed"];
    if (lacks.includes(error.name)) return undefined;
    throw error;
  });
  if (answer === undefined) {
    for (let at = 0; at < keys.length; at += deletesAtOnceMax) {
      const some = keys.slice(at, at + deletesAtOnceMax);
      await Promise.all(some.map((key) => removeOne(place, key)));
    }
    return;
  }
  const failed = answer.Errors?.find(({ Code }) => Code !== "NoSuchKey");
  if (failed) {
    throw new GantryError(
      "unavailable",
      `The object store could not remove ${failed.Key}: ${failed.Code} ${failed.Message ?? ""}`,
    );
  }
}

async function removeOne({ client, bucket }: Place, key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
}
