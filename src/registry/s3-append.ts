// One append to an upload: a stream becomes parts as it comes, the rest a piece. One part travels
// while the next fills. Parts go up one after the other, so that whatever is in the store when this
// process dies has no gap. When the stream breaks, what came is kept: the client goes on from
// there.

import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import type { PartBuffers, Share } from "./part-buffers.ts";
import { type Place, removeKeys } from "./s3-listing.ts";
import { partsMax } from "./s3-options.ts";
import {
  dataKey,
  multipartKey,
  type Piece,
  pieceKey,
  type UploadState,
} from "./s3-upload-state.ts";

/** More pieces than these are put together, so that a client of tiny chunks costs no thousand
 * keys. */
const piecesMax = 32;

export type S3Extra = {
  StorageClass?: "STANDARD";
  ServerSideEncryption?: "AES256";
  SSEKMSKeyId?: string;
};
export interface AppendParts {
  place: Place;
  extra: S3Extra;
  buffers: PartBuffers;
}

/** Changes `state` as the store changes. */
export class Appending {
  #folder: string;
  #state: UploadState;
  #parts: AppendParts;
  #share: Share | undefined;
  /** Bytes in the buffer; the first ones are left for the pieces. */
  #filled = 0;
  #travelling: Promise<void> = Promise.resolve();
  #absorbed: string[] = [];
  /** Whether bytes are being taken in, and until when they are put aside. */
  #isBusy = false;
  #aside: Promise<void> = Promise.resolve();

  constructor(folder: string, state: UploadState, parts: AppendParts) {
    this.#folder = folder;
    this.#state = state;
    this.#parts = parts;
  }

  /** Returns the new size. */
  async run(bytes: Readable): Promise<number> {
    try {
      let broken: unknown;
      try {
        for await (const chunk of bytes as AsyncIterable<Buffer | string>) {
          await this.#add(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
        }
      } catch (error) {
        broken = error;
      }
      await this.#aside;
      this.#isBusy = true;
      await this.#travelling;
      await this.#keepRest();
      await removeKeys(this.#parts.place, this.#absorbed);
      if (broken !== undefined) throw broken;
      return this.#state.size;
    } finally {
      await this.#travelling.catch(() => {});
      this.#giveBack();
      bytes.destroy();
    }
  }

  async #add(chunk: Buffer): Promise<void> {
    await this.#aside;
    this.#isBusy = true;
    let at = 0;
    while (at < chunk.length) {
      if (this.#share === undefined) {
        this.#share = await this.#parts.buffers.take(() => this.#putAside());
        this.#filled = sum(this.#state.pieces);
      }
      const { buffer } = this.#share;
      const copied = chunk.copy(buffer, this.#filled, at);
      at += copied;
      this.#filled += copied;
      this.#share.usedAt = performance.now();
      if (this.#filled === buffer.length) await this.#sendPart();
    }
    this.#isBusy = false;
  }

  /** Others want the buffer and nothing comes: what is in it becomes a piece. */
  #putAside(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#aside = this.#travelling
      .then(() => this.#keepRest())
      .finally(() => {
        this.#giveBack();
        this.#isBusy = false;
      });
    this.#aside.catch(() => {});
  }

  #giveBack(): void {
    if (this.#share) this.#parts.buffers.give(this.#share);
    this.#share = undefined;
  }

  /** The buffer is full: it goes up while the next one fills. */
  async #sendPart(): Promise<void> {
    await this.#travelling;
    const share = this.#share!;
    const { buffer } = share;
    const { pieces } = this.#state;
    if (this.#state.parts.length + 1 > partsMax) {
      throw new GantryError("invalid", `An upload cannot have more than ${partsMax} parts`);
    }
    await readPieces(this.#parts.place, pieces, buffer);
    const multipart = this.#state.multipart ?? (await this.#createMultipart());
    this.#share = undefined;
    share.onWanted = undefined;
    // The size must not count the pieces twice when the next buffer is laid out.
    this.#absorbed.push(...pieces.map(({ key }) => key));
    this.#state.pieces = [];
    this.#travelling = this.#upload(multipart.id, share, pieces);
    this.#travelling.catch(() => {});
  }

  async #upload(UploadId: string, share: Share, pieces: Piece[]): Promise<void> {
    const { place, buffers } = this.#parts;
    const { parts } = this.#state;
    try {
      const answer = await place.client.send(
        new UploadPartCommand({
          Bucket: place.bucket,
          Key: dataKey(this.#folder),
          UploadId,
          PartNumber: parts.length + 1,
          Body: share.buffer,
        }),
      );
      parts.push(answer.ETag ?? "");
      this.#state.size = parts.length * this.#state.partBytes;
    } catch (error) {
      // Its pieces still count.
      this.#state.pieces = pieces;
      this.#absorbed = [];
      throw error;
    } finally {
      buffers.give(share);
    }
  }

  async #createMultipart(): Promise<{ id: string; marker: string }> {
    const { place, extra } = this.#parts;
    const target = { Bucket: place.bucket, Key: dataKey(this.#folder) };
    const { UploadId: id = "" } = await place.client.send(
      new CreateMultipartUploadCommand({ ...target, ...extra }),
    );
    const marker = multipartKey(this.#folder, id);
    await place.client.send(
      new PutObjectCommand({ ...target, Key: marker, Body: Buffer.alloc(0) }),
    );
    this.#state.multipart = { id, marker };
    return this.#state.multipart;
  }

  /** What fills no part becomes a piece; many pieces become one. */
  async #keepRest(): Promise<void> {
    const { pieces, parts, partBytes } = this.#state;
    const before = sum(pieces);
    const added = this.#share === undefined ? 0 : this.#filled - before;
    if (added === 0) {
      this.#state.size = parts.length * partBytes + before;
      return;
    }
    const { place } = this.#parts;
    const { buffer } = this.#share!;
    const merge = pieces.length >= piecesMax;
    const offset = parts.length * partBytes + (merge ? 0 : before);
    if (merge) await readPieces(place, pieces, buffer);
    const Body = buffer.subarray(merge ? 0 : before, before + added);
    // Among pieces at one offset the first by name counts: an earlier one is longer or equal.
    const key = pieceKey(this.#folder, offset, randomBytes(8).toString("hex"));
    await place.client.send(new PutObjectCommand({ Bucket: place.bucket, Key: key, Body }));
    const piece = { key, offset, size: Body.length };
    if (merge) this.#absorbed.push(...pieces.map((old) => old.key));
    this.#state.pieces = merge ? [piece] : [...pieces, piece];
    this.#state.size = parts.length * partBytes + before + added;
  }
}

/** Puts the bytes of the pieces at the start of `into`. */
export async function readPieces(
  { client, bucket }: Place,
  pieces: readonly Piece[],
  into: Buffer,
): Promise<void> {
  let at = 0;
  for (const { key, size } of pieces) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    const bytes = await Body?.transformToByteArray();
    if (bytes?.length !== size) {
      throw new GantryError("unavailable", `The object store gave ${key} back with another size`);
    }
    into.set(bytes, at);
    at += size;
  }
}

export function sum(pieces: readonly Piece[]): number {
  return pieces.reduce((total, { size }) => total + size, 0);
}
