// The joints of the registry server: what its parts ask of one another. An ObjectStore keeps bytes
// under paths (local files or S3) and holds all state, so that many processes share one store.
// RegistryContent is the registry's meaning over it: manifests, tags, blobs, uploads, referrers.
// A pull-through cache is a RegistryContent around another one. HTTP, the web page and programs
// that embed a registry talk to RegistryContent only.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";

/** Bytes under slash-separated paths; storage-paths.ts alone makes the paths. An object is visible
 * only whole. Throws GantryError not-found, unavailable, invalid. Every driver passes the suite in
 * test/support/object-store-suite.ts. */
export interface ObjectStore {
  /** A small object whole (≤ 8 MiB). */
  read(path: string): Promise<Buffer>;
  /** From `start` to `end`, both inclusive; the whole without. */
  open(path: string, range?: { start: number; end?: number }): Promise<Readable>;
  stat(path: string): Promise<ObjectFacts | undefined>;
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Makes the object look as if it was written now; false when it is not there. */
  touch(path: string): Promise<boolean>;
  /** Names directly beneath a folder after `after`, sorted by code unit; folders end in "/". */
  list(folder: string, page?: { after?: string; limit?: number }): Promise<string[]>;
  /** Every object beneath a folder, at any depth, in any order. */
  walk(folder: string): AsyncIterable<{ path: string } & ObjectFacts>;
  move(from: string, to: string): Promise<void>;
  /** No error when it is not there. */
  remove(path: string): Promise<void>;
  removeAll(folder: string): Promise<void>;
  /** Writes only when nothing is there; false otherwise. Without it, collectors of several
   * processes are kept apart by their schedule alone. */
  create?(path: string, bytes: Uint8Array): Promise<boolean>;
  /** An upload grows at its end and becomes an object at once. State is in the store only: another
   * process may go on with it. Nothing appended begins it. `offset` must be its size (conflict
   * otherwise). Appending, completing and aborting exclude one another, also across processes
   * (conflict): nobody may write into what has been hashed. What arrived before a failure stays. */
  appendTo(upload: string, offset: number, bytes: Readable): Promise<number>; // the new size
  uploadSize(upload: string): Promise<number | undefined>;
  /** The bytes of an unfinished upload, to be hashed by a process that has not seen them. */
  openUpload(upload: string): Promise<Readable>;
  /** Refuses (conflict) when the upload is not `size` bytes any more: so many were hashed. */
  completeUpload(upload: string, path: string, size: number): Promise<void>;
  abortUpload(upload: string): Promise<void>;
  /** Those beneath a folder; all without. */
  uploads(folder?: string): AsyncIterable<{ upload: string } & ObjectFacts>;
  /** Where a client may fetch the object itself; undefined where the driver has no such thing. */
  url?(path: string, options: { method: "GET" | "HEAD" }): Promise<string | undefined>;
  close(): Promise<void>;
}
export interface ObjectFacts {
  size: number; // bytes
  modifiedAt: Date;
}

export interface StoredManifest {
  digest: string;
  mediaType: string;
  raw: Buffer;
}
export interface BlobFacts {
  digest: string;
  size: number; // bytes
}
export interface Page {
  limit?: number;
  after?: string;
}
/** A descriptor in a referrers index: OCI image-spec 1.1 descriptor with what its manifest says. */
export interface Referrer {
  mediaType: string;
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}
/** What a registry can do with its content; errors are RegistryError (errors.ts). */
export interface RegistryContent {
  /** The repository that is meant by `name` in a request with ?ns=`namespace` (as containerd asks
   * mirrors of several registries); undefined when nothing is known of that namespace. To be asked
   * before anything else, so that access is decided for the name that counts. */
  nameIn?(namespace: string, name: string): string | undefined;
  repositories(page?: Page): Promise<{ names: string[]; more: boolean }>;
  /** NAME_UNKNOWN when there is no such repository. */
  tags(name: string, page?: Page): Promise<{ tags: string[]; more: boolean }>;
  manifest(name: string, reference: string): Promise<StoredManifest>;
  /** Verifies, stores under its digest, links every tag, indexes its subject. */
  putManifest(
    name: string,
    manifest: { raw: Buffer; mediaType: string; digest?: string; tags: string[] },
  ): Promise<{ digest: string; subject?: string }>;
  deleteManifest(name: string, digest: string): Promise<void>;
  deleteTag(name: string, tag: string): Promise<void>;
  referrers(name: string, digest: string): Promise<Referrer[]>;
  blob(name: string, digest: string): Promise<BlobFacts>;
  openBlob(
    name: string,
    digest: string,
    range?: { start: number; end?: number },
  ): Promise<Readable>;
  /** An address for a redirect, where the store gives one. Does not look whether the repository
   * has the blob: the caller has just asked for blob(). */
  blobUrl(name: string, digest: string, method: "GET" | "HEAD"): Promise<string | undefined>;
  deleteBlob(name: string, digest: string): Promise<void>;
  /** Links a blob that `from` holds; false when it does not. */
  mountBlob(name: string, digest: string, from: string): Promise<boolean>;
  /** Repositories that hold a blob, as far as that is cheap to know: candidates for a mount. */
  holders?(digest: string): AsyncIterable<string>;
  /** `algorithm` is what the digest at the end will be of; sha256 unless told. */
  startUpload(name: string, algorithm?: string): Promise<string>; // its id
  uploadSize(name: string, id: string): Promise<number>;
  /** Appends at `offset`, which must be the present size (else BLOB_UPLOAD_INVALID, 416). */
  append(name: string, id: string, offset: number, bytes: Readable): Promise<number>;
  finishUpload(name: string, id: string, digest: string): Promise<BlobFacts>;
  cancelUpload(name: string, id: string): Promise<void>;
}

/** "pull" reads, "push" writes, "delete" removes, "*" is the catalog and the rest. */
export type Action = "pull" | "push" | "delete" | "*";
export interface Access {
  type: "repository" | "registry";
  name: string; // repository, or "catalog"
  actions: Action[];
}
export interface RequestFacts {
  id: string;
  method: string;
  url: URL; // as the client sees the registry
  authorization?: string | undefined;
  /** Of the client, behind proxies that are trusted. */
  remoteAddress: string;
  userAgent: string;
  /** Common name in the client's certificate, where TLS has verified one. */
  clientCertificate?: string | undefined;
}
/** An address outside /v2/ (token service, metrics, health), given to createRegistry's
 * extraRoutes. `path` is the whole path, or ends in "/*" for all beneath; the handler answers
 * every method itself. What it throws as a RegistryError is answered as such. */
export interface ExtraRoute {
  path: string;
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    facts: RequestFacts,
    tell?: (outcome: RouteOutcome) => void,
  ): Promise<void>;
}
/** What observers are told of an extra route: who it was, and the error that it answered. */
export interface RouteOutcome {
  subject?: string;
  errorCode?: string;
}
/** Who is allowed what. Throws RegistryError UNAUTHORIZED (with a challenge), DENIED or
 * TOOMANYREQUESTS (with retryAfterSeconds). */
export interface Gatekeeper {
  admit(request: RequestFacts, wanted: readonly Access[]): Promise<Grant>;
}
export interface Grant {
  /** The user's name; empty for an anonymous one. */
  subject: string;
  /** Whether the same caller may do this too (cross-repository mounts). */
  allows(access: Access): boolean;
}

/** What happened; for webhooks, the audit log and metrics. Never waited for by a request. */
export interface RegistryEvent {
  id: string;
  at: Date;
  action: "pull" | "push" | "delete" | "mount";
  repository: string;
  target: { mediaType: string; digest: string; size: number; tag?: string; from?: string };
  request: RequestFacts;
  subject: string;
}
export interface RequestSummary {
  request: RequestFacts;
  /** Name of the route: "manifest", "blob", "upload", "tags", "catalog", "referrers", "base", … */
  route: string;
  status: number;
  errorCode?: string;
  subject: string;
  bytesIn: number;
  bytesOut: number;
  seconds: number;
}
/** Listens to what happens; must not throw and must not block. */
export interface Observer {
  event?(event: RegistryEvent): void;
  /** Which events it wants [all]; what nobody wants is not made. */
  actions?: readonly RegistryEvent["action"][];
  finished?(summary: RequestSummary): void;
  close?(): Promise<void>;
}
