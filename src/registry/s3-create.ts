// Writing an object only when there is none: of several who try, one succeeds (conditional writes,
// at AWS since 2024). An answer can get lost on the way and the client try again, so the object
// carries a mark by which its writer knows it.

import { randomUUID } from "node:crypto";
import {
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { isMissing } from "./s3-client.ts";
import type { Place } from "./s3-listing.ts";

const markName = "gantry-writer";

export type Created =
  | { isMine: true }
  /** What is there instead; nothing when it has gone meanwhile. */
  | { isMine: false; found: HeadObjectCommandOutput | undefined };

export async function createObject(
  { client, bucket }: Place,
  put: { Key: string; Body: Uint8Array },
): Promise<Created> {
  const mark = randomUUID();
  const target = { Bucket: bucket, Key: put.Key };
  const request = { ...target, ...put, Metadata: { [markName]: mark } };
  const head = () =>
    client.send(new HeadObjectCommand(target)).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  try {
    await client.send(new PutObjectCommand({ ...request, IfNoneMatch: "*" }));
    return { isMine: true };
  } catch (error) {
    const { name } = error as Error;
    if (name === "NotImplemented") {
      const found = await head();
      if (found !== undefined) return { isMine: false, found };
      await client.send(new PutObjectCommand(request));
      return { isMine: true };
    }
    if (name !== "PreconditionFailed" && name !== "ConditionalRequestConflict") throw error;
  }
  const found = await head();
  return found?.Metadata?.[markName] === mark ? { isMine: true } : { isMine: false, found };
}
