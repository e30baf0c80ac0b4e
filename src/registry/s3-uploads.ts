// Uploads in S3. Bytes become parts of an S3 multipart upload as soon as they fill one; what is
// left is kept aside as a piece, so that no byte that was accepted is lost and any process can go
// on. Two parts are in memory at most: one that fills and one that travels.
//
// What a process has appended or read it may have hashed, so it must be exactly what becomes the
// object: parts, pieces and the finished data are named by their ETags from then on, and when
// another process has put other bytes in their place the upload fails instead of lying.

import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { GantryError } from "../base/index.ts";
import { PartBuffers } from "./part-buffers.ts";
import { Appending, readPieces, type S3Extra, sum } from "./s3-append.ts";
import { isMissing } from "./s3-client.ts";
import { copyObject } from "./s3-copy.ts";
import { holding } from "./s3-hold.ts";
import { type ListedObject, listObjects, type Place, removeKeys } from "./s3-listing.ts";
import type { S3Settings } from "./s3-options.ts";
import { reopenUpload } from "./s3-reopen.ts";
import {
  beginKey,
  dataKey,
  listParts,
  type Multipart,
  noSuchUpload,
  type Piece,
  readFolder,
  stateOf,
  type UploadFolder,
  type UploadState,
} from "./s3-upload-state.ts";

/** Uploads of which this process remembers what it saw. */
const remembered = 10_000;

/** What this process knows of an upload's bytes because they went through its hands. */
interface Seen extends Bytes {
  size: number;
}
interface Bytes {
  parts: string[];
  pieces: Piece[];
  multipart?: Multipart;
  dataEtag?: string;
}

export class S3Uploads {
  #place: Place;
  #settings: S3Settings;
  #extra: S3Extra;
  #root: string;
  #buffers: PartBuffers;
  #seen = new Map<string, Seen>();
  #busy = new Set<string>();

  constructor(
    place: Place,
    settings: S3Settings,
    { root, extra }: { root: string; extra: S3Extra },
  ) {
    this.#place = place;
    this.#settings = settings;
    this.#root = root;
    this.#extra = extra;
    this.#buffers = new PartBuffers(settings.partBytes, settings.partBuffersMax);
  }

  async size(upload: string): Promise<number | undefined> {
    return (await this.#load(upload))?.size;
  }

  async append(upload: string, offset: number, bytes: Readable): Promise<number> {
    return this.#alone(upload, () => this.#append(upload, offset, bytes));
  }

  async #append(upload: string, offset: number, bytes: Readable): Promise<number> {
    let state = await this.#load(upload);
    if (state === undefined) {
      if (offset !== 0) throw noSuchUpload(upload);
      state = await this.#begin(upload);
    }
    if (state.size !== offset) {
      throw new GantryError("conflict", `Upload ${upload} has ${state.size} bytes, not ${offset}`, {
        detail: { size: state.size },
      });
    }
    const { data } = state;
    const folder = this.#folder(upload);
    if (data !== undefined) {
      const opened = { state: { ...state, data }, extra: this.#extra };
      state = await reopenUpload(this.#place, folder, opened);
      this.#seen.delete(upload);
    }
    const appending = new Appending(folder, state, {
      place: this.#place,
      extra: this.#extra,
      buffers: this.#buffersFor(state),
    });
    try {
      return await appending.run(bytes);
    } finally {
      const { parts, pieces, size, multipart } = state;
      if (offset === 0 || this.#seen.get(upload)?.size === offset) {
        this.#remember(upload, { parts, pieces, size, ...(multipart ? { multipart } : {}) });
      } else this.#seen.delete(upload);
    }
  }

  /** All bytes as one object, to be read. */
  async sealed(upload: string): Promise<{ key: string; size: number; etag: string }> {
    return this.#alone(upload, async () => {
      const state = await this.#load(upload);
      if (state === undefined) throw noSuchUpload(upload);
      const seen = this.#seen.get(upload);
      const bytes = seen?.size === state.size ? seen : state;
      const { size, etag } = await this.#seal(upload, bytes, state);
      this.#remember(upload, { parts: [], pieces: [], size, dataEtag: etag });
      return { key: dataKey(this.#folder(upload)), size, etag };
    });
  }

  async complete(upload: string, to: string, size: number): Promise<void> {
    await this.#alone(upload, async () => {
      const state = await this.#load(upload);
      if (state === undefined) throw noSuchUpload(upload);
      if (state.size !== size) {
        throw new GantryError("conflict", `Upload ${upload} has ${state.size} bytes, not ${size}`);
      }
      const known = this.#seen.get(upload);
      const seen = known?.size === size ? known : state;
      await this.#publish(upload, to, { state, seen });
      this.#seen.delete(upload);
      // The object is there: what is left of the upload costs space, no more.
      await this.#clear(upload).catch(() => {});
    });
  }

  async #publish(
    upload: string,
    to: string,
    { state, seen }: { state: UploadState; seen: Bytes },
  ): Promise<void> {
    const { client, bucket } = this.#place;
    if (state.data === undefined && state.multipart === undefined) {
      const target = { Bucket: bucket, Key: to, ...this.#extra };
      await this.#withPieces(seen.pieces, (Body) =>
        client.send(new PutObjectCommand({ ...target, Body })),
      );
      return;
    }
    const { size, etag } = await this.#seal(upload, seen, state);
    const from = dataKey(this.#folder(upload));
    const { copyBytesMax } = this.#settings;
    await copyObject(this.#place, { from, to, size, etag, copyBytesMax, extra: this.#extra });
  }

  /** One change at a time. */
  async #alone<T>(upload: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(upload)) throw new GantryError("conflict", `Upload ${upload} is busy`);
    this.#busy.add(upload);
    try {
      return await holding(this.#place, `${this.#folder(upload)}hold`, work);
    } finally {
      this.#busy.delete(upload);
    }
  }

  async abort(upload: string): Promise<void> {
    await this.#alone(upload, () => this.#abort(upload));
  }

  async #abort(upload: string): Promise<void> {
    this.#seen.delete(upload);
    const data = dataKey(this.#folder(upload));
    const { multiparts } = await this.#clear(upload);
    const ids = new Set(multiparts.map(({ id }) => id));
    for await (const found of this.#multiparts(data)) ids.add(found.id);
    for (const id of ids) await this.#abortMultipart(data, id);
  }

  /** Removes every object of an upload; says what was there. */
  async #clear(upload: string): Promise<UploadFolder> {
    const folder = this.#folder(upload);
    const objects = await collect(listObjects(this.#place, folder));
    await removeKeys(
      this.#place,
      objects.map(({ key }) => key),
    );
    return readFolder(folder, objects);
  }

  /** Those whose name starts with `prefix`. */
  async *all(prefix: string): AsyncGenerator<{ upload: string; size: number; modifiedAt: Date }> {
    const told = new Set<string>();
    let folder = "";
    let objects: ListedObject[] = [];
    const tell = async (): Promise<{ upload: string; size: number; modifiedAt: Date }> => {
      const upload = folder.slice(this.#root.length, -1);
      told.add(upload);
      const found = readFolder(folder, objects);
      const state = await this.#stateOf(folder, found, undefined);
      return { upload, size: state?.size ?? 0, modifiedAt: state?.modifiedAt ?? found.modifiedAt };
    };
    for await (const object of listObjects(this.#place, this.#root + prefix)) {
      const its = object.key.slice(0, object.key.lastIndexOf("/") + 1);
      if (its !== folder && objects.length > 0) {
        yield await tell();
        objects = [];
      }
      folder = its;
      objects.push(object);
    }
    if (objects.length > 0) yield await tell();
    // Left by a process that died between two requests.
    for await (const { key, begun } of this.#multiparts(this.#root + prefix)) {
      const upload = key.slice(this.#root.length, key.lastIndexOf("/"));
      if (told.has(upload)) continue;
      told.add(upload);
      yield { upload, size: 0, modifiedAt: begun };
    }
  }

  #folder(upload: string): string {
    return `${this.#root}${upload}/`;
  }

  #remember(upload: string, seen: Seen): void {
    this.#seen.delete(upload);
    this.#seen.set(upload, seen);
    if (this.#seen.size > remembered) this.#seen.delete(this.#seen.keys().next().value!);
  }

  async #load(upload: string): Promise<UploadState | undefined> {
    const folder = this.#folder(upload);
    const objects = await collect(listObjects(this.#place, folder));
    return this.#stateOf(folder, readFolder(folder, objects), this.#seen.get(upload));
  }

  async #stateOf(
    folder: string,
    found: UploadFolder,
    seen: Seen | undefined,
  ): Promise<UploadState | undefined> {
    const { partBytes, multiparts } = found;
    if (partBytes === undefined) return undefined;
    const known = { ...found, partBytes };
    const parts = { etags: [] as string[], modifiedAt: found.modifiedAt };
    if (multiparts.length === 0 || found.data !== undefined) return stateOf(known, parts);
    // A listing is spared when nobody else can have appended: the last append left a new piece.
    if (seen?.multipart && found.pieces.length > 0 && sameKeys(seen.pieces, found.pieces)) {
      return stateOf(known, { ...parts, etags: [...seen.parts], multipart: seen.multipart });
    }
    const { client, bucket } = this.#place;
    for (const multipart of multiparts) {
      const request = { bucket, key: dataKey(folder), id: multipart.id, partBytes };
      const listed = await listParts(client, request);
      if (listed !== undefined) return stateOf(known, { ...listed, multipart });
    }
    return this.#finished(folder, known);
  }

  /** A multipart upload that is gone was completed this moment, or aborted. */
  async #finished(
    folder: string,
    found: UploadFolder & { partBytes: number },
  ): Promise<UploadState | undefined> {
    const { client, bucket } = this.#place;
    const head = await client
      .send(new HeadObjectCommand({ Bucket: bucket, Key: dataKey(folder) }))
      .catch((error) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
    if (head === undefined) return undefined;
    const data = { size: head.ContentLength ?? 0, etag: head.ETag ?? "" };
    return stateOf({ ...found, data }, { etags: [], modifiedAt: found.modifiedAt });
  }

  async #begin(upload: string): Promise<UploadState> {
    const { partBytes } = this.#settings;
    const Key = beginKey(this.#folder(upload), partBytes);
    const { client, bucket } = this.#place;
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.alloc(0) }));
    return { partBytes, parts: [], pieces: [], size: 0, modifiedAt: new Date() };
  }

  /** An upload that was begun with another part size gets buffers of its own. */
  #buffersFor({ partBytes }: UploadState): PartBuffers {
    return partBytes === this.#buffers.bytes ? this.#buffers : new PartBuffers(partBytes, 2);
  }

  async #seal(
    upload: string,
    bytes: Bytes,
    state: UploadState,
  ): Promise<{ size: number; etag: string }> {
    const { data } = state;
    const { pieces, multipart } = bytes;
    if (data !== undefined) return { size: data.size, etag: bytes.dataEtag ?? data.etag };
    const { client, bucket } = this.#place;
    const target = { Bucket: bucket, Key: dataKey(this.#folder(upload)) };
    const parts = [...bytes.parts];
    const size = parts.length * state.partBytes + sum(pieces);
    if (multipart === undefined) {
      const { ETag = "" } = await this.#withPieces(pieces, (Body) =>
        client.send(new PutObjectCommand({ ...target, Body, ...this.#extra })),
      );
      return { size, etag: ETag };
    }
    if (sum(pieces) > 0 || parts.length === 0) {
      const PartNumber = parts.length + 1;
      const { ETag = "" } = await this.#withPieces(pieces, (Body) =>
        client.send(new UploadPartCommand({ ...target, UploadId: multipart.id, PartNumber, Body })),
      );
      parts.push(ETag);
    }
    const Parts = parts.map((ETag, at) => ({ ETag, PartNumber: at + 1 }));
    const MultipartUpload = { Parts };
    const answer = await client.send(
      new CompleteMultipartUploadCommand({ ...target, UploadId: multipart.id, MultipartUpload }),
    );
    // They would be taken for the parts of what is appended later.
    await removeKeys(this.#place, [multipart.marker, ...pieces.map(({ key }) => key)]);
    return { size, etag: answer.ETag ?? "" };
  }

  async #withPieces<T>(pieces: readonly Piece[], work: (bytes: Buffer) => Promise<T>): Promise<T> {
    const size = sum(pieces);
    const buffers = size <= this.#buffers.bytes ? this.#buffers : new PartBuffers(size, 1);
    const share = await buffers.take();
    try {
      await readPieces(this.#place, pieces, share.buffer);
      return await work(share.buffer.subarray(0, size));
    } finally {
      buffers.give(share);
    }
  }

  async *#multiparts(prefix: string): AsyncGenerator<{ key: string; id: string; begun: Date }> {
    const { client, bucket } = this.#place;
    let from: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (from !== undefined) {
      const page: ListMultipartUploadsCommandOutput = await client.send(
        new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...from }),
      );
      for (const { Key = "", UploadId = "", Initiated = new Date(0) } of page.Uploads ?? []) {
        if (Key.startsWith(prefix)) yield { key: Key, id: UploadId, begun: Initiated };
      }
      from =
        page.IsTruncated && page.NextKeyMarker
          ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker ?? "" }
          : undefined;
    }
  }

  async #abortMultipart(Key: string, UploadId: string): Promise<void> {
    const { client, bucket } = this.#place;
    await client
      .send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }))
      .catch((error) => {
        if (!isMissing(error)) throw error;
      });
  }
}

function sameKeys(a: readonly Piece[], b: readonly Piece[]): boolean {
  const keys = new Set(a.map(({ key }) => key));
  return keys.size === b.length && b.every(({ key }) => keys.has(key));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
