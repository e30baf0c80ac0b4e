// Objects in an S3 bucket, so that many registry processes share one store: every bit of state is
// in the bucket. A key is the root prefix and the path; unfinished uploads have a folder of their
// own beside (s3-upload-state.ts). Requests are tried again with back-off; a download that breaks
// goes on at the byte where it stopped, as long as the object is still the same.

import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { GantryError, kindOf } from "../base/index.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import type { S3Extra } from "./s3-append.ts";
import { createS3Client, isMissing, s3Call, s3Error } from "./s3-client.ts";
import { copyObject, copySource } from "./s3-copy.ts";
import { createObject } from "./s3-create.ts";
import { listNames, listObjects, type Place, removeKeys } from "./s3-listing.ts";
import { type S3Settings, type S3StoreOptions, s3Settings } from "./s3-options.ts";
import { S3Uploads } from "./s3-uploads.ts";

const readBytesMax = 8 << 20;
const uploadsFolder = "gantry-uploads/";
/** How often one download may break. */
const resumesMax = 4;
const removesAtOnce = 1000;

export class S3Store implements ObjectStore {
  #settings: S3Settings;
  #client: S3Client;
  /** Signs addresses for clients, who may see the store under another name. */
  #signer: S3Client;
  #place: Place;
  #root: string;
  #extra: S3Extra;
  #uploads: S3Uploads;

  constructor(options: S3StoreOptions) {
    const settings = s3Settings(options);
    this.#settings = settings;
    this.#client = createS3Client(settings);
    this.#signer = settings.redirectEndpoint
      ? createS3Client(settings, settings.redirectEndpoint)
      : this.#client;
    this.#root = settings.rootPrefix === "" ? "" : `${settings.rootPrefix}/`;
    this.#place = { client: this.#client, bucket: settings.bucket };
    this.#extra = extraOf(settings);
    const root = `${this.#root}${uploadsFolder}`;
    this.#uploads = new S3Uploads(this.#place, settings, { root, extra: this.#extra });
  }

  /** Throws unavailable when the bucket cannot be listed with what we have. */
  async check(): Promise<void> {
    await s3Call(`Using bucket "${this.#settings.bucket}"`, () =>
      listNames(this.#place, this.#root, { limit: 1, byKey: true }),
    );
  }

  async read(path: string): Promise<Buffer> {
    const target = this.#target(path);
    return s3Call(`Reading ${path}`, async () => {
      const answer = await this.#client.send(new GetObjectCommand(target));
      if ((answer.ContentLength ?? 0) > readBytesMax) {
        (answer.Body as Readable).destroy();
        throw new GantryError("invalid", `${path} is larger than ${readBytesMax} bytes`);
      }
      const chunks: Buffer[] = [];
      for await (const chunk of this.#bodyOf(answer, path, {})) chunks.push(chunk);
      return Buffer.concat(chunks);
    });
  }

  async open(path: string, range: { start?: number; end?: number } = {}): Promise<Readable> {
    const answer = await s3Call(`Reading ${path}`, () => this.#get(this.#key(path), range));
    return Readable.from(this.#bodyOf(answer, path, range), { objectMode: false });
  }

  async stat(path: string): Promise<ObjectFacts | undefined> {
    const target = this.#target(path);
    return s3Call(`Looking for ${path}`, async () => {
      const head = await this.#head(target);
      if (head === undefined) return undefined;
      return { size: head.ContentLength ?? 0, modifiedAt: head.LastModified ?? new Date(0) };
    });
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    const request = new PutObjectCommand({ ...this.#target(path), Body: bytes, ...this.#extra });
    await s3Call(`Writing ${path}`, () => this.#client.send(request));
  }

  async create(path: string, bytes: Uint8Array): Promise<boolean> {
    const put = { Key: this.#key(path), Body: bytes, ...this.#extra };
    return s3Call(`Writing ${path}`, async () => (await createObject(this.#place, put)).isMine);
  }

  async touch(path: string): Promise<boolean> {
    const target = this.#target(path);
    return s3Call(`Touching ${path}`, async () => {
      const request = new CopyObjectCommand({
        ...target,
        CopySource: copySource(target.Bucket, target.Key),
        MetadataDirective: "REPLACE",
        ...this.#extra,
      });
      try {
        await this.#client.send(request);
        return true;
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
    });
  }

  async list(folder: string, page: { after?: string; limit?: number } = {}): Promise<string[]> {
    const prefix = this.#folderKey(folder);
    const byKey = this.#settings.listing === "keys";
    const names = await s3Call(`Listing ${folder}`, () =>
      listNames(this.#place, prefix, { ...page, byKey }),
    );
    return folder === "" ? names.filter((name) => name !== uploadsFolder) : names;
  }

  async *walk(folder: string): AsyncGenerator<{ path: string } & ObjectFacts> {
    const hidden = `${this.#root}${uploadsFolder}`;
    try {
      for await (const object of listObjects(this.#place, this.#folderKey(folder))) {
        if (object.key.startsWith(hidden)) continue;
        const path = object.key.slice(this.#root.length);
        yield { path, size: object.size, modifiedAt: object.modifiedAt };
      }
    } catch (error) {
      throw s3Error(`Listing ${folder}`, error);
    }
  }

  async move(from: string, to: string): Promise<void> {
    const source = this.#target(from);
    const key = this.#key(to);
    await s3Call(`Moving ${from}`, async () => {
      const { ContentLength: size = 0, ETag: etag = "" } = await this.#client.send(
        new HeadObjectCommand(source),
      );
      const { copyBytesMax } = this.#settings;
      const extra = this.#extra;
      await copyObject(this.#place, { from: source.Key, to: key, size, etag, copyBytesMax, extra });
      await this.#client.send(new DeleteObjectCommand(source));
    });
  }

  async remove(path: string): Promise<void> {
    const request = new DeleteObjectCommand(this.#target(path));
    await s3Call(`Removing ${path}`, () =>
      this.#client.send(request).catch((error) => {
        if (!isMissing(error)) throw error;
      }),
    );
  }

  async removeAll(folder: string): Promise<void> {
    const prefix = this.#folderKey(folder);
    const hidden = `${this.#root}${uploadsFolder}`;
    await s3Call(`Removing ${folder}`, async () => {
      let keys: string[] = [];
      for await (const { key } of listObjects(this.#place, prefix)) {
        if (!key.startsWith(hidden)) keys.push(key);
        if (keys.length < removesAtOnce) continue;
        await removeKeys(this.#place, keys);
        keys = [];
      }
      await removeKeys(this.#place, keys);
    });
  }

  appendTo(upload: string, offset: number, bytes: Readable): Promise<number> {
    checkPath(upload);
    return s3Call("Appending to an upload", () => this.#uploads.append(upload, offset, bytes));
  }

  uploadSize(upload: string): Promise<number | undefined> {
    checkPath(upload);
    return s3Call("Looking for an upload", () => this.#uploads.size(upload));
  }

  async openUpload(upload: string): Promise<Readable> {
    checkPath(upload);
    const what = "Reading an upload";
    const { key, etag } = await s3Call(what, () => this.#uploads.sealed(upload));
    const answer = await s3Call(what, () => this.#get(key, {}, etag));
    return Readable.from(this.#bodyOf(answer, upload, {}, key), { objectMode: false });
  }

  async completeUpload(upload: string, path: string, size: number): Promise<void> {
    checkPath(upload);
    const key = this.#key(path);
    await s3Call("Completing an upload", () => this.#uploads.complete(upload, key, size));
  }

  async abortUpload(upload: string): Promise<void> {
    checkPath(upload);
    await s3Call("Cancelling an upload", () => this.#uploads.abort(upload));
  }

  async *uploads(folder = ""): AsyncGenerator<{ upload: string } & ObjectFacts> {
    const name = folder.replace(/\/$/, "");
    if (name !== "") checkPath(name);
    try {
      yield* this.#uploads.all(name === "" ? "" : `${name}/`);
    } catch (error) {
      throw s3Error("Listing uploads", error);
    }
  }

  async url(path: string, { method }: { method: "GET" | "HEAD" }): Promise<string | undefined> {
    if (!this.#settings.redirect) return undefined;
    const target = this.#target(path);
    const expiresIn = this.#settings.redirectSeconds;
    return s3Call(`Signing an address of ${path}`, () =>
      method === "GET"
        ? getSignedUrl(this.#signer, new GetObjectCommand(target), { expiresIn })
        : getSignedUrl(this.#signer, new HeadObjectCommand(target), { expiresIn }),
    );
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#signer.destroy();
  }

  #key(path: string): string {
    checkPath(path);
    return this.#root + path;
  }

  #target(path: string): { Bucket: string; Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#key(path) };
  }

  #folderKey(folder: string): string {
    const name = folder.replace(/\/$/, "");
    return name === "" ? this.#root : `${this.#key(name)}/`;
  }

  async #head(target: { Bucket: string; Key: string }) {
    try {
      return await this.#client.send(new HeadObjectCommand(target));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #get(
    Key: string,
    { start = 0, end }: { start?: number; end?: number },
    etag?: string,
  ): Promise<GetObjectCommandOutput> {
    const whole = start === 0 && end === undefined;
    return this.#client.send(
      new GetObjectCommand({
        Bucket: this.#settings.bucket,
        Key,
        ...(whole ? {} : { Range: `bytes=${start}-${end ?? ""}` }),
        ...(etag ? { IfMatch: etag } : {}),
      }),
    );
  }

  /** The bytes of an answer, and of the answers that follow when it breaks. */
  async *#bodyOf(
    first: GetObjectCommandOutput,
    path: string,
    { start = 0, end }: { start?: number; end?: number },
    key = this.#key(path),
  ): AsyncGenerator<Buffer> {
    const size = first.ContentLength ?? 0;
    const until = start + size - 1;
    let at = start;
    let answer = first;
    for (let attempt = 0; ; ) {
      const body = answer.Body as Readable;
      try {
        for await (const chunk of body as AsyncIterable<Buffer>) {
          at += chunk.length;
          yield chunk;
        }
        if (at > until) return;
        throw new GantryError("unavailable", `The object store cut ${path} short`);
      } catch (error) {
        if (++attempt > resumesMax || kindOf(error) === "cancelled") {
          throw s3Error(`Reading ${path}`, error);
        }
        const rest = { start: at, end: end ?? until };
        answer = await s3Call(`Reading ${path}`, () => this.#get(key, rest, first.ETag));
      } finally {
        body.destroy();
      }
    }
  }
}

/** Paths come from storage-paths.ts; what would leave the root prefix is refused all the same. */
function checkPath(path: string): void {
  if (path === "" || /^\/|\/$|\/\/|(^|\/)\.\.?(\/|$)|[\0\n\r]/.test(path)) {
    throw new GantryError("invalid", `Invalid path of an object: ${JSON.stringify(path)}`);
  }
}

function extraOf({ storageClass, encryption, kmsKeyId }: S3Settings): S3Extra {
  return {
    ...(storageClass ? { StorageClass: storageClass as "STANDARD" } : {}),
    ...(encryption ? { ServerSideEncryption: encryption as "AES256" } : {}),
    ...(kmsKeyId ? { SSEKMSKeyId: kmsKeyId } : {}),
  };
}
