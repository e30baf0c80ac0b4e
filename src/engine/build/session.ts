// What a client offers while its builds run: its folders, credentials, secrets and ssh agent, and a
// place for what comes out. The transport (BuildKit's session, src/buildkit) implements this; the
// builder never sees gRPC. A client that goes away aborts `closed`, and with it what waits for it.

import type { Duplex } from "node:stream";
import type { Credentials } from "../../distribution/index.ts";
import type { Signal } from "../contract.ts";

/** A file as the client's file system has it. */
export interface ClientFile {
  /** Relative, cleaned, no "..": "src/main.c". */
  path: string;
  /** As stat(2): kind and permissions. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Nanoseconds since the epoch. */
  modifiedNs: bigint;
  /** Of a symbolic link its text; of a further name of a file the path that came first. */
  linkname: string;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface FolderRequest {
  /** As the client named the folder: "context", "dockerfile", or a named context. */
  name: string;
  /** Patterns of .dockerignore's kind: only these, not those, and what links of these lead to. */
  include: readonly string[];
  exclude: readonly string[];
  followPaths: readonly string[];
}

/** A folder that is being sent. Contents may be asked for while entries still come. */
export interface ClientFolder extends AsyncDisposable {
  /** Every file in the order of its path's components, folders before what is in them. A file's
   * number is its place in this order, from 0. */
  entries: AsyncIterable<ClientFile>;
  /** The bytes of a regular file. Many may be under way. */
  content(index: number): AsyncIterable<Uint8Array>;
  /** Tells the client that nothing more is wanted; resolves when it has agreed. */
  finish(): Promise<void>;
}

/** Where a client takes a folder (`--output type=local`). */
export interface FolderSink {
  entries: AsyncIterable<ClientFile>;
  open(path: string): AsyncIterable<Uint8Array>;
}

export interface BuildSession {
  readonly id: string;
  /** The same for builds of one client in one folder: what was synced may be used again. */
  readonly sharedKey: string;
  /** Aborted when the client has gone. */
  readonly closed: AbortSignal;
  openFolder(request: FolderRequest, o: Required<Signal>): Promise<ClientFolder>;
  /** For a registry's host, undefined when the client has none. */
  credentials(host: string, o: Required<Signal>): Promise<Credentials | undefined>;
  /** Undefined when the client has no secret of that id. */
  secret(id: string, o: Required<Signal>): Promise<Uint8Array | undefined>;
  /** Whether the client forwards an agent of that id. */
  hasSshAgent(id: string, o: Required<Signal>): Promise<boolean>;
  /** A connection to it; one for each connection of the step. */
  connectSshAgent(id: string, o: Required<Signal>): Promise<Duplex>;
  /** A file that the client uploads once (a Dockerfile or a tar from its standard input). */
  openUpload(url: string, o: Required<Signal>): Promise<AsyncIterable<Uint8Array>>;
  /** Sends one file: `--output type=tar|oci|docker` with a destination. `exporter`: the number of
   * the output. */
  sendFile(
    output: { exporter: string; metadata: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
    o: Required<Signal>,
  ): Promise<void>;
  /** Sends a folder: `--output type=local`. */
  sendFolder(output: { exporter: string }, folder: FolderSink, o: Required<Signal>): Promise<void>;
  /** The client's content store of that name (`oci-layout://`, `--cache-to type=local`). */
  contentStore(name: string): SessionContentStore;
}

/** BuildKit's local content store over the session: blobs by digest. */
export interface SessionContentStore {
  size(digest: string, o: Required<Signal>): Promise<number | undefined>;
  read(digest: string, o: Required<Signal>): AsyncIterable<Uint8Array>;
  write(
    blob: { digest: string; size: number; labels?: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
    o: Required<Signal>,
  ): Promise<void>;
}
