// A build as every modern door asks for it (BuildKit's control service, our own command line, a
// program that embeds the engine), what is told while it runs, and what comes out. The nouns are
// BuildKit's, since its clients show them; the values are plain data.

import type { Readable } from "node:stream";
import type { FileSource } from "../../build/index.ts";
import type { Credentials } from "../../distribution/index.ts";
import type { HostConfig, Platform } from "../../spec/index.ts";
import type { Signal } from "../contract.ts";
import type { BuildSession } from "./session.ts";

/** Where a context's files come from. */
export type ContextSource =
  /** A folder of the client. */
  | { kind: "session"; session: BuildSession; name: string }
  /** A tar, compressed or not, or a single Dockerfile: what stands in the bytes decides. */
  | { kind: "stream"; bytes: Readable }
  /** A git repository, as `docker build URL` names it: "https://host/repo.git#ref:folder". */
  | { kind: "git"; url: string }
  /** A tar or a Dockerfile at an http(s) address. */
  | { kind: "http"; url: string }
  /** A folder of this machine (embedding, the language's tests). */
  | { kind: "folder"; path: string }
  | { kind: "image"; reference: string }
  /** An OCI layout in the client's content store: "name@sha256:…". */
  | { kind: "oci-layout"; session: BuildSession; reference: string }
  /** What another build makes, as an image or as files: bake's linked targets. */
  | { kind: "build"; job: BuildJob }
  | { kind: "empty" };

export interface BuildJob {
  /** Names the build while it runs and in the history. */
  ref: string;
  /** "": the main context; others by their name (`--build-context`), which stand before stages and
   * images of that name. */
  contexts: ReadonlyMap<string, ContextSource>;
  /** The Dockerfile: a path in one of the contexts ("dockerfile" where the client sends it apart),
   * or its text. */
  dockerfile: { context: string; path: string } | { text: Uint8Array; name: string };
  target?: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  /** None: that of the machine. */
  platforms: readonly Platform[];
  /** Look at the registry for every base image. */
  pull: boolean;
  /** True: no step; a list: the steps of these stages. */
  noCache: boolean | readonly string[];
  /** Limits, hosts and network of the steps. */
  hostConfig: HostConfig;
  /** "network.host", "security.insecure", "device…". */
  entitlements: readonly string[];
  credentials(host: string, o: Required<Signal>): Promise<Credentials | undefined>;
  /** Secrets and ssh agents of RUN --mount; undefined where there are none. */
  session?: BuildSession | undefined;
  cacheFrom: readonly CachePlace[];
  cacheTo: readonly CachePlace[];
  outputs: readonly OutputRequest[];
  /** Attestations: "sbom", "provenance" → their parameters. */
  attest: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** What the client knows of its sources ("source", "revision", "localdir:context"), for the
   * provenance: BuildKit's frontend attributes "vcs:…". */
  vcs?: Readonly<Record<string, string>> | undefined;
  /** Also what a step was looked up by, and what differs from the last time (--explain). */
  explain?: boolean | undefined;
  /** On a failed step keeps its state until the caller lets go (--debug). */
  keepFailed?: boolean | undefined;
  /** Leaves no record in the history. */
  isInternal?: boolean | undefined;
  /** What the door was asked, as it was asked, for the history: BuildKit's frontend attributes. */
  attrs?: Readonly<Record<string, string>> | undefined;
}

/** `type=registry,ref=…,mode=max` */
export interface CachePlace {
  type: string;
  attrs: Readonly<Record<string, string>>;
}
/** `type=image,name=…,push=true`; `exporter` numbers it for the session. */
export interface OutputRequest {
  type: string;
  attrs: Readonly<Record<string, string>>;
  exporter: string;
}

/** One platform's result. */
export interface BuiltImage {
  platform: Platform;
  /** The raw image config. */
  config: Uint8Array;
  /** Its digest. */
  id: string;
  /** Diff ids, bottom first. */
  layers: readonly string[];
  /** Cache records of the steps, for provenance and the inline cache, in the order of the file. */
  steps: readonly BuiltStep[];
  /** Images and files that went in. */
  materials: readonly Material[];
}
export interface BuiltStep {
  /** The vertex's digest and name in the progress. */
  digest: string;
  name: string;
  /** The cache key. */
  key: string;
  /** The layer that it made; undefined: it changed nothing. */
  layer: string | undefined;
  createdAtMs: number;
  cached: boolean;
  startedAtMs: number;
  completedAtMs: number;
}
export interface Material {
  /** "pkg:docker/alpine@3.20?platform=…" or an address. */
  uri: string;
  digest: Readonly<Record<string, string>>;
}

export interface BuildOutcome {
  images: readonly BuiltImage[];
  /** What the outputs say of themselves: "containerimage.digest" and so on (--metadata-file). */
  metadata: Readonly<Record<string, string>>;
  /** Provenance of each platform's image, whatever was asked for: the history keeps it. */
  statements: readonly KeptStatement[];
  warnings: readonly BuildWarning[];
}

/** Provenance of a build, without the image that it is about. */
export interface BuildStatement {
  predicateType: string;
  digest: string;
  size: number;
  /** "linux/amd64"; absent where the build is for one only. */
  platform?: string | undefined;
}
export interface KeptStatement {
  about: BuildStatement;
  /** JSON; the digest is of it. */
  text: string;
}

/** What happens, as BuildKit's status stream tells it. Times are milliseconds since the epoch. */
export type BuildEvent =
  | { kind: "vertex"; vertex: BuildVertex }
  | { kind: "status"; status: VertexStatus }
  | { kind: "log"; vertex: string; stream: 1 | 2; bytes: Uint8Array; atMs: number }
  | { kind: "warning"; warning: BuildWarning };

/** Told whole each time that something about it changes. */
export interface BuildVertex {
  digest: string;
  inputs: readonly string[];
  /** "[build 2/5] RUN npm ci", "[internal] load build context". */
  name: string;
  cached: boolean;
  startedAtMs?: number | undefined;
  completedAtMs?: number | undefined;
  error?: string | undefined;
  /** --explain: why it ran, or how it was found. */
  because?: string | undefined;
}
/** A part of a vertex with progress of its own: a layer that is fetched, a transfer. */
export interface VertexStatus {
  id: string;
  vertex: string;
  name: string;
  current: number;
  total: number;
  atMs: number;
  startedAtMs?: number | undefined;
  completedAtMs?: number | undefined;
}
export interface BuildWarning {
  vertex: string;
  level: number;
  short: string;
  detail: readonly string[];
  url: string;
  /** Lines of the Dockerfile, from 1. */
  source?: {
    fileName: string;
    text: Uint8Array;
    ranges: readonly { start: number; end: number }[];
  };
}

/** Where a build's parts tell of themselves. */
export interface BuildReporter {
  tell(event: BuildEvent): void;
  /** Runs `work` as a vertex of its own: "[internal] load metadata for …". */
  step<T>(
    name: string,
    work: (vertex: VertexReport) => Promise<T>,
    o?: { inputs?: readonly string[] },
  ): Promise<T>;
}
export interface VertexReport {
  readonly digest: string;
  log(text: string | Uint8Array): void;
  status(id: string, progress: { current: number; total: number; done?: boolean }): void;
}

/** A context that is there to be read, with what is known of its files. */
export interface OpenContext {
  source: FileSource;
  /** What it was made of: the commit of a repository, the digest of a download. */
  materials?: readonly Material[];
  release(): Promise<void>;
}
