// What a build asks of whoever runs it. This layer knows the graph, the order and the cache keys;
// the worker (src/engine/build) has containers, layers and files. A file system is named by its
// layers' diff ids, so everything that passes between the two is data.

import type { ImageConfigDocument, Platform } from "../spec/index.ts";
import type { CopyPath, FileModeChange, GitSource, RunMount } from "./language/index.ts";

/** A file system: the diff ids of its layers, bottom first. None: scratch. */
export interface Root {
  readonly layers: readonly string[];
}

/** Where files are copied from. */
export type FileSource =
  | { kind: "root"; root: Root }
  /** A folder that the worker knows: "" is the main context, others are named ones. */
  | { kind: "context"; name: string };

export interface ResolvedImage {
  document: ImageConfigDocument;
  root: Root;
  /** The config digest. */
  id: string;
}

/** Finds base images. Errors are shown as they are: docker's words. */
export interface ImageResolver {
  image(
    reference: string,
    options: { platform: Platform; signal: AbortSignal },
  ): Promise<ResolvedImage>;
  /** The image that a named context is; undefined where it is a folder. */
  context?(
    name: string,
    options: { platform: Platform; signal: AbortSignal },
  ): Promise<ResolvedImage | undefined>;
}

/** A command in a file system. */
export interface RunRequest {
  root: Root;
  args: readonly string[];
  /** "NAME=value". */
  env: readonly string[];
  user: string;
  workingDir: string;
  network: "default" | "none" | "host";
  security: "sandbox" | "insecure";
  mounts: readonly { mount: RunMount; from: FileSource }[];
  script?: { path: string; content: string };
}

/** Which files to copy; also what their digest is taken of. */
export interface FileSelection {
  from: FileSource;
  paths: readonly CopyPath[];
  /** Patterns of --exclude. */
  exclude: readonly string[];
}
export interface CopyRequest {
  root: Root;
  selections: readonly FileSelection[];
  inline: readonly { name: string; content: string }[];
  /** Absolute; a slash at its end says that it is a folder. */
  destination: string;
  /** "user[:group]"; default: the files' own owners (the context's are root's). */
  chown?: string;
  chmod?: FileModeChange;
  /** --parents. */
  parents: boolean;
  /** Archives of the selections are unpacked (ADD). */
  unpack: boolean;
}
export interface FolderRequest {
  root: Root;
  path: string;
  /** Whom the folder belongs to when it is made; "" is root. */
  user: string;
}

export interface StepOutput {
  signal: AbortSignal;
  /** Stops the process that writes until it resolves. */
  write(stream: "stdout" | "stderr", chunk: Uint8Array): Promise<void> | void;
  /** A container runs the step. */
  started(containerId: string): void;
  ended(containerId: string): void;
}

/** Makes layers. Each verb leaves nothing behind but the layer that it returns; an aborted signal
 * ends it at once. Layers stay as long as the build lasts. */
export interface Worker {
  /** Where a context's files are; it may have to be transferred first. Default: as it is named. */
  context?(name: string, options: { signal: AbortSignal }): Promise<FileSource>;
  /** Throws RunFailure when the command ends with another code than 0. */
  run(request: RunRequest, output: StepOutput): Promise<{ layer: string }>;
  copy(request: CopyRequest, output: StepOutput): Promise<{ layer: string }>;
  /** Undefined when the folder was there. */
  makeFolder(request: FolderRequest, output: StepOutput): Promise<{ layer: string | undefined }>;
  /** A digest of names, kinds, modes, owners, links and contents: everything that a copy takes
   * over but times. */
  digest(selection: FileSelection, options: { signal: AbortSignal }): Promise<string>;
  /** Fetches a file or a repository into a context of its own; the content decides over the
   * cache. */
  download(
    source: { url: string; fileName: string; checksum?: string; git?: GitSource },
    options: { signal: AbortSignal },
  ): Promise<FileSource>;
}

/** What the cache remembers of an operation. */
export interface CacheRecord {
  /** Undefined: the operation changed nothing. */
  layer: string | undefined;
  /** What the step was, for `system df`. */
  description: string;
  /** When the operation ran: steps that were cached have their first time in the history. */
  createdAtMs: number;
  /** Keys of the operations that it stands on or reads from. */
  inputs?: readonly string[];
}
export interface BuildCache {
  /** A record whose layer is there; it is marked as used and its layer kept for this build. A
   * promise where the layer has to be fetched first: an imported cache. */
  find(key: string): CacheRecord | undefined | Promise<CacheRecord | undefined>;
  put(key: string, record: CacheRecord): void;
  /** Runs `work` when nobody else works on `key`; who is aborted before that does not wait. */
  exclusive<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}
