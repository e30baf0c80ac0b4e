// What the store says of an unfinished upload. Everything is in names and parts, so any process can
// go on:
//
//   gantry-uploads/<upload>/begin-<partBytes>        it exists; its parts have this size
//   gantry-uploads/<upload>/multipart-<hex of id>    an S3 multipart upload of `data`; where that
//                                                    is long: multipart_<base64url of id>
//   gantry-uploads/<upload>/piece-<offset>-<random>  bytes that do not fill a part yet
//   gantry-uploads/<upload>/data                     all of it, put together to be read
//
// The bytes are the parts 1, 2, 3 … (all of one size, as some servers ask) and then the pieces that
// follow without a gap. What does not follow is left over from a broken append and counts nothing.

import { ListPartsCommand, type S3Client } from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import { isMissing } from "./s3-client.ts";
import type { ListedObject } from "./s3-listing.ts";

export interface Piece {
  key: string;
  offset: number;
  size: number;
}
/** An S3 multipart upload, and the object that tells of it. */
export interface Multipart {
  id: string;
  marker: string;
}
export interface UploadState {
  partBytes: number;
  multipart?: Multipart;
  /** ETags of the parts, the first first. */
  parts: string[];
  pieces: Piece[];
  /** Set when all bytes are in one object. */
  data?: { size: number; etag: string };
  size: number;
  modifiedAt: Date;
}

/** MinIO takes 255 bytes between two slashes, and its own ids have 124. */
const hexCharsMax = 200;

export const beginKey = (folder: string, partBytes: number): string =>
  `${folder}begin-${partBytes}`;
export function multipartKey(folder: string, id: string): string {
  const bytes = Buffer.from(id);
  if (bytes.length * 2 <= hexCharsMax) return `${folder}multipart-${bytes.toString("hex")}`;
  return `${folder}multipart_${bytes.toString("base64url")}`;
}
export const pieceKey = (folder: string, offset: number, random: string): string =>
  `${folder}piece-${String(offset).padStart(15, "0")}-${random}`;
export const dataKey = (folder: string): string => `${folder}data`;

/** The names in an upload's folder that matter here. */
export interface UploadFolder {
  partBytes?: number;
  multiparts: Multipart[];
  pieces: Piece[];
  data?: { size: number; etag: string };
  modifiedAt: Date;
}

export function readFolder(folder: string, objects: readonly ListedObject[]): UploadFolder {
  const found: UploadFolder = { multiparts: [], pieces: [], modifiedAt: new Date(0) };
  for (const { key, size, etag, modifiedAt } of objects) {
    const name = key.slice(folder.length);
    if (modifiedAt > found.modifiedAt) found.modifiedAt = modifiedAt;
    const begin = /^begin-(\d+)$/.exec(name);
    const multipart = /^multipart(?:-([0-9a-f]+)|_([\w-]+))$/.exec(name);
    const piece = /^piece-(\d+)-/.exec(name);
    if (begin) found.partBytes = Number(begin[1]);
    else if (multipart) {
      const [, hex, base64 = ""] = multipart;
      const id = (hex ? Buffer.from(hex, "hex") : Buffer.from(base64, "base64url")).toString();
      found.multiparts.push({ id, marker: key });
    } else if (piece) found.pieces.push({ key, offset: Number(piece[1]), size });
    else if (name === "data") found.data = { size, etag };
  }
  return found;
}

/** Puts folder and parts together; pieces that do not follow are left out. */
export function stateOf(
  folder: UploadFolder & { partBytes: number },
  parts: { etags: string[]; modifiedAt: Date; multipart?: Multipart },
): UploadState {
  const { partBytes, data } = folder;
  const { multipart } = parts;
  let size = parts.etags.length * partBytes;
  const pieces: Piece[] = [];
  for (const piece of [...folder.pieces].sort(byOffset)) {
    if (piece.offset !== size || piece.size === 0) continue;
    pieces.push(piece);
    size += piece.size;
  }
  return {
    partBytes,
    ...(multipart ? { multipart } : {}),
    parts: parts.etags,
    pieces,
    ...(data ? { data } : {}),
    size: data?.size ?? size,
    modifiedAt: new Date(Math.max(+parts.modifiedAt, +folder.modifiedAt)),
  };
}

const byOffset = (a: Piece, b: Piece): number => a.offset - b.offset || (a.key < b.key ? -1 : 1);

/** The parts from 1 on without a gap. Those of another size are of no use: only the last part of a
 * finished upload is shorter. */
export async function listParts(
  client: S3Client,
  { bucket, key, id, partBytes }: { bucket: string; key: string; id: string; partBytes: number },
): Promise<{ etags: string[]; modifiedAt: Date } | undefined> {
  const etags: string[] = [];
  let modifiedAt = new Date(0);
  let marker: string | undefined;
  do {
    const request = new ListPartsCommand({
      Bucket: bucket,
      Key: key,
      UploadId: id,
      ...(marker === undefined ? {} : { PartNumberMarker: marker }),
    });
    const page = await client.send(request).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (page === undefined) return undefined;
    for (const part of page.Parts ?? []) {
      if (part.LastModified && part.LastModified > modifiedAt) modifiedAt = part.LastModified;
      if (part.PartNumber !== etags.length + 1 || part.Size !== partBytes) continue;
      etags.push(part.ETag ?? "");
    }
    marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
  } while (marker !== undefined && marker !== "0");
  return { etags, modifiedAt };
}

export function noSuchUpload(upload: string): GantryError {
  return new GantryError("not-found", `No such upload: ${upload}`);
}
