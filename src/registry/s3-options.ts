// The options of the S3 store as a config file gives them. Credentials and region that are not
// given are looked for where every AWS program looks: environment, profiles, container and instance
// roles.

import { GantryError } from "../base/index.ts";

/** S3's own limit for every part but the last. */
export const partBytesMin = 5 << 20;
/** Reaches blobs of 78 GiB with S3's 10,000 parts. */
const partBytesDefault = 8 << 20;
export const partsMax = 10_000;
/** What one CopyObject request may copy. */
export const copyObjectBytesMax = 5 * 1024 ** 3;

export interface S3StoreOptions {
  bucket: string;
  region?: string;
  /** Base URL of a server that is not AWS's. */
  endpoint?: string;
  /** http://host/bucket/key instead of http://bucket.host/key; the default with an `endpoint`. */
  pathStyle?: boolean;
  accessKeyId?: string;
  secretAccessKey?: string;
  sessionToken?: string;
  /** Everything is kept beneath this; no slash at either end. */
  rootPrefix?: string;
  /** Certificates (PEM) that are trusted besides the usual ones. */
  ca?: string;
  storageClass?: string;
  /** "AES256" or "aws:kms", with `kmsKeyId` where it is not the bucket's. */
  encryption?: string;
  kmsKeyId?: string;
  /** Whether clients fetch blobs from the store itself by presigned addresses; true unless said. */
  redirect?: boolean;
  /** The base URL under which clients reach the store, where it is another than `endpoint`. */
  redirectEndpoint?: string;
  redirectSeconds?: number;
  /** Bytes of a part of an upload. A blob has 10,000 parts at most. */
  partBytes?: number;
  /** Parts that are held in memory at once, of all uploads together. */
  partBuffersMax?: number;
  /** Larger objects are copied in ranges of this size, several at once. */
  copyBytesMax?: number;
  attemptsMax?: number;
  /** "keys": the server lists as S3 does, by whole key (the default without an `endpoint`; MinIO,
   * Ceph and R2 do so too). "folders": it keeps folders, lists them by name and may show empty
   * ones, as SeaweedFS does; listings cost more requests then (the default with an `endpoint`). */
  listing?: "keys" | "folders";
}
export type S3Settings = S3StoreOptions &
  Required<
    Pick<
      S3StoreOptions,
      | "rootPrefix"
      | "redirect"
      | "redirectSeconds"
      | "partBytes"
      | "partBuffersMax"
      | "copyBytesMax"
      | "attemptsMax"
      | "listing"
    >
  >;

const TEXTS = [
  "bucket",
  "region",
  "endpoint",
  "accessKeyId",
  "secretAccessKey",
  "sessionToken",
  "rootPrefix",
  "ca",
  "storageClass",
  "encryption",
  "kmsKeyId",
  "redirectEndpoint",
  "listing",
];
const FLAGS = ["pathStyle", "redirect"];
const NUMBERS: Record<string, [min: number, max: number]> = {
  redirectSeconds: [1, 7 * 86_400],
  partBytes: [partBytesMin, copyObjectBytesMax],
  partBuffersMax: [2, 10_000],
  copyBytesMax: [partBytesMin, copyObjectBytesMax],
  attemptsMax: [1, 20],
};

/** Options from a config file's object. Throws invalid, naming what is wrong. */
export function parseS3Options(value: unknown): S3StoreOptions {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad("want an object with at least a bucket");
  }
  for (const [name, found] of Object.entries(value)) {
    if (TEXTS.includes(name)) {
      if (typeof found !== "string" || found === "") throw bad(`${name} must be a text`);
    } else if (FLAGS.includes(name)) {
      if (typeof found !== "boolean") throw bad(`${name} must be true or false`);
    } else if (name in NUMBERS) {
      const [min, max] = NUMBERS[name]!;
      if (!Number.isInteger(found) || (found as number) < min || (found as number) > max) {
        throw bad(`${name} must be a whole number from ${min} to ${max}`);
      }
    } else throw bad(`unknown option ${JSON.stringify(name)}`);
  }
  const options = value as S3StoreOptions;
  if (!options.bucket) throw bad("bucket is missing");
  if (options.listing && !["keys", "folders"].includes(options.listing)) {
    throw bad('listing must be "keys" or "folders"');
  }
  if ((options.accessKeyId === undefined) !== (options.secretAccessKey === undefined)) {
    throw bad("accessKeyId and secretAccessKey come together");
  }
  for (const name of ["endpoint", "redirectEndpoint"] as const) {
    const url = options[name];
    if (url !== undefined && !/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
      throw bad(`${name} must be an http or https address`);
    }
  }
  if (/^\/|\/$|\/\/|(^|\/)\.\.?(\/|$)/.test(options.rootPrefix ?? "")) {
    throw bad("rootPrefix must be names with a slash between each two");
  }
  return options;
}

export function s3Settings(options: S3StoreOptions): S3Settings {
  parseS3Options(options);
  return {
    rootPrefix: "",
    redirect: true,
    redirectSeconds: 20 * 60,
    partBytes: partBytesDefault,
    partBuffersMax: 16,
    copyBytesMax: 512 << 20,
    attemptsMax: 5,
    listing: options.endpoint === undefined ? "keys" : "folders",
    ...options,
  };
}

function bad(why: string): GantryError {
  return new GantryError("invalid", `Invalid options of the S3 store: ${why}`);
}
