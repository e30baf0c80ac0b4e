// The engine's doors: what the HTTP API, the CRI server, the command line's embedded mode and
// TypeScript programs call. Docker's own field names (PascalCase) are used for the nouns that
// travel unchanged between client, record and image config: ContainerConfig, HostConfig …
// (src/spec/container.ts). Every verb takes { signal } last; each names its commit point.

import type { Duplex, Readable } from "node:stream";
import type { Credentials, RemoteImage, SearchResult } from "../distribution/index.ts";
import type { CreateNetworkRequest } from "../network/index.ts";
import type {
  ContainerConfig,
  EndpointSettings,
  ExecConfig,
  HostConfig,
  ImageConfigDocument,
  NetworkingConfig,
  Platform,
} from "../spec/index.ts";
import type { Builds } from "./build/contract.ts";
import type { Explanation } from "./networks/explain.ts";

export type * from "./build/contract.ts";
export type { Credentials, RemoteImage, SearchResult };
/** Container port ("80/tcp") → host addresses and ports. */
export type PortMap = NonNullable<HostConfig["PortBindings"]>;
export type Signal = { signal?: AbortSignal };
export type Filters = ReadonlyMap<string, readonly string[]>;

export interface ContainerState {
  Status: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  StartedAt: string; // RFC 3339 with nanoseconds; "0001-01-01T00:00:00Z" when never
  FinishedAt: string;
  Health?: { Status: string; FailingStreak: number; Log: HealthResult[] };
}
export interface HealthResult {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

/** A container as the engine knows it; the API renders inspect and list answers from it. */
export interface Container {
  id: string;
  name: string; // without the leading slash
  created: string;
  path: string;
  args: string[];
  state: ContainerState;
  imageId: string; // "sha256:…", the config digest
  imageName: string; // as the user gave it
  platform: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  mounts: MountPoint[];
  networks: Record<string, EndpointSettings>;
  ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
  restartCount: number;
  logPath: string;
  resolvConfPath: string;
  hostnamePath: string;
  hostsPath: string;
  execIds: string[];
  sandbox: { id: string; key: string };
  driver: string;
  graph: { lowerDirs: string[]; upperDir: string; workDir: string; mergedDir: string };
  appArmorProfile: string;
  mountLabel: string;
  processLabel: string;
  sizes?: { rw: number; rootFs: number };
  imageManifest?: { mediaType: string; digest: string; size: number };
}
export interface MountPoint {
  Type: string;
  Name?: string;
  Source: string;
  Destination: string;
  Driver?: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

export interface CreateRequest {
  name?: string;
  platform?: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig?: NetworkingConfig;
}

export interface Containers {
  create(request: CreateRequest, o?: Signal): Promise<{ id: string; warnings: string[] }>;
  /** Commit point: the init has exec'd. Error kinds: not-modified when running already. */
  start(ref: string, o?: Signal): Promise<void>;
  stop(ref: string, o?: Signal & { timeoutSeconds?: number; stopSignal?: string }): Promise<void>;
  restart(
    ref: string,
    o?: Signal & { timeoutSeconds?: number; stopSignal?: string },
  ): Promise<void>;
  kill(ref: string, signalName: string, o?: Signal): Promise<void>;
  pause(ref: string, o?: Signal): Promise<void>;
  unpause(ref: string, o?: Signal): Promise<void>;
  rename(ref: string, name: string): Promise<void>;
  /** `publish` changes published ports, also of a running container. */
  update(
    ref: string,
    changes: Partial<HostConfig>,
    o?: Signal & { publish?: { add?: PortMap; remove?: PortMap } },
  ): Promise<{ warnings: string[] }>;
  remove(
    ref: string,
    o?: Signal & { force?: boolean; volumes?: boolean; link?: boolean },
  ): Promise<void>;
  inspect(ref: string, o?: Signal & { size?: boolean }): Promise<Container>;
  list(
    o?: Signal & { all?: boolean; limit?: number; size?: boolean; filters?: Filters },
  ): Promise<Container[]>;
  prune(filters?: Filters, o?: Signal): Promise<{ deleted: string[]; spaceReclaimed: number }>;
  /** Resolves with the exit code when the condition is met. Validates `ref` before it returns
   * its promise, so that the API can send headers at once. */
  wait(
    ref: string,
    condition: "not-running" | "next-exit" | "removed",
    o?: Signal,
  ): Promise<{ done: Promise<{ exitCode: number; error?: string }> }>;
  /** May be called before start: the stream then begins with the container. */
  attach(ref: string, o: AttachOptions): Promise<AttachStream>;
  logs(ref: string, o: LogOptions): Promise<LogStream>;
  resize(ref: string, rows: number, columns: number): Promise<void>;
  top(ref: string, psArgs: string): Promise<{ Titles: string[]; Processes: string[][] }>;
  changes(ref: string, o?: Signal): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]>;
  export(ref: string, o?: Signal): Promise<Readable>;
  commit(ref: string, o: Signal & CommitOptions): Promise<{ id: string }>;
  statPath(ref: string, path: string, o?: Signal): Promise<PathStat>;
  /** The paths inside the container that a shell's pattern (*, ?, [a-z]) matches. */
  glob(ref: string, pattern: string, o?: Signal): Promise<string[]>;
  archiveOut(ref: string, path: string, o?: Signal): Promise<{ stat: PathStat; tar: Readable }>;
  archiveIn(
    ref: string,
    path: string,
    tar: Readable,
    o?: Signal & { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean },
  ): Promise<void>;
  stats(ref: string, o: Signal & { stream: boolean; oneShot: boolean }): AsyncIterable<unknown>;
  execCreate(ref: string, config: ExecConfig): Promise<{ id: string }>;
  /** Resolves when the command has been exec'd; its stream carries the output. */
  execStart(
    execId: string,
    o: Signal & {
      detach: boolean;
      tty: boolean;
      consoleSize?: [number, number];
      detachKeys?: string;
    },
  ): Promise<AttachStream | undefined>;
  execInspect(execId: string): Promise<ExecState>;
  execResize(execId: string, rows: number, columns: number): Promise<void>;
}

export interface PathStat {
  name: string;
  size: number;
  mode: number; // Go's os.FileMode bits, as X-Docker-Container-Path-Stat has them
  mtime: string;
  linkTarget: string;
}
export interface CommitOptions {
  repo?: string;
  tag?: string;
  comment?: string;
  author?: string;
  pause: boolean;
  changes: string[];
  config?: Partial<ContainerConfig>;
}
export interface AttachOptions extends Signal {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  stream: boolean;
  logs: boolean;
  detachKeys?: string;
}
export interface AttachStream {
  /** The container has a terminal: raw bytes, else docker's multiplexed frames. */
  tty: boolean;
  stream: Duplex;
}
export interface LogOptions extends Signal {
  follow: boolean;
  stdout: boolean;
  stderr: boolean;
  since?: Date | { seconds: number; nanoseconds: number };
  until?: Date | { seconds: number; nanoseconds: number };
  timestamps: boolean;
  tail: number | "all";
  details: boolean;
}
export interface LogStream {
  tty: boolean;
  /** Multiplexed frames without a terminal, raw text with one. */
  stream: Readable;
}
export interface ExecState {
  ID: string;
  Running: boolean;
  ExitCode: number | null;
  ProcessConfig: {
    tty: boolean;
    entrypoint: string;
    arguments: string[];
    privileged: boolean;
    user?: string;
  };
  OpenStdin: boolean;
  OpenStderr: boolean;
  OpenStdout: boolean;
  CanRemove: boolean;
  ContainerID: string;
  DetachKeys: string;
  Pid: number;
}

/** An image as the engine knows it. */
export interface Image {
  id: string; // config digest
  config: ImageConfigDocument;
  repoTags: string[];
  repoDigests: string[];
  parent: string;
  comment: string;
  created: string;
  size: number;
  sharedSize: number; // -1 when not computed
  containers: number; // -1 when not computed
  lastTagTime: string;
  manifest?: { mediaType: string; digest: string; size: number };
  layers: string[]; // diff ids
  /** Where they were asked for. */
  manifests?: ImageManifest[];
}
/** One of what an image's index lists. */
export interface ImageManifest {
  kind: "image" | "attestation";
  descriptor: { mediaType: string; digest: string; size: number };
  isHere: boolean;
  /** Of an image. */
  platform?: Platform;
  /** Digest of the manifest that an attestation is about. */
  about?: string;
  contentBytes: number; // documents; layers are kept unpacked only
  unpackedBytes: number;
  /** Ids of the containers that were made from it. */
  containers: string[];
}
export type Progress = Record<string, unknown>; // a message of docker's JSON progress stream

/** One thing that was compared with its digest, or at the end the sums. */
export interface VerifyMessage {
  item?: {
    kind: "config" | "manifest" | "layer" | "blob";
    digest: string;
    state: "ok" | "damaged" | "missing" | "repaired";
    bytes: number;
    problem?: string;
    /** Names of the images that need it. */
    usedBy: string[];
  };
  sums?: { checked: number; bytes: number; damaged: number; repaired: number };
}
export interface VerifyRequest {
  refs: string[];
  /** Every image, and layers of containers whose image is gone. */
  all?: boolean;
  /** The images are meant as their registries have them. */
  remote?: boolean;
  /** Fetch again what is damaged. */
  repair?: boolean;
  credentials?: Credentials;
}

export interface BootstrapRequest {
  /** "debian:bookworm", "ubuntu:noble". */
  image: string;
  /** The name that the image gets; default: `image`. */
  tag?: string;
  /** Which packages: minbase (default), apt, essential, important, standard, buildd. */
  variant?: string;
  /** Instead of the host's own mirror. */
  mirror?: string;
  /** Further packages. */
  include?: string[];
}

export interface Images {
  list(
    o?: Signal & { all?: boolean; filters?: Filters; sharedSize?: boolean; manifests?: boolean },
  ): Promise<Image[]>;
  inspect(ref: string, o?: Signal & { platform?: string; manifests?: boolean }): Promise<Image>;
  history(
    ref: string,
    o?: { platform?: string },
  ): Promise<
    {
      Id: string;
      Created: number;
      CreatedBy: string;
      Tags: string[] | null;
      Size: number;
      Comment: string;
    }[]
  >;
  tag(ref: string, repo: string, tag: string): Promise<void>;
  remove(
    ref: string,
    o?: Signal & { force?: boolean; noPrune?: boolean; platforms?: string[] },
  ): Promise<({ Untagged: string } | { Deleted: string })[]>;
  prune(
    filters?: Filters,
    o?: Signal,
  ): Promise<{ deleted: ({ Untagged: string } | { Deleted: string })[]; spaceReclaimed: number }>;
  /** A root file system archive (tar, any compression docker knows) becomes an image. */
  import(
    o: Signal & {
      from: Readable;
      repo?: string;
      tag?: string;
      message?: string;
      changes: string[];
      platform?: string;
    },
  ): AsyncIterable<Progress>;
  /** docker-archive or OCI layout, compressed or not. */
  load(
    from: Readable,
    o?: Signal & { quiet?: boolean; platform?: string[] },
  ): AsyncIterable<Progress>;
  /** Makes a base image from the host's own package sources, without a registry. */
  bootstrap(o: Signal & BootstrapRequest): AsyncIterable<Progress>;
  /** Reads everything and compares it with its digests. */
  verify(o: Signal & VerifyRequest): AsyncIterable<VerifyMessage>;
  save(refs: string[], o?: Signal & { platform?: string[] }): Promise<Readable>;
  /** `tag` may be a tag or a digest; without either, every tag of the repository. Errors before
   * the first message are those of the registry. */
  pull(
    name: string,
    o?: Signal & { tag?: string; platform?: string; credentials?: Credentials },
  ): AsyncIterable<Progress>;
  /** Without a tag every tag of the repository. With `allPlatforms` the whole index by which the
   * image came, all of whose images must be here. */
  push(
    name: string,
    o?: Signal & {
      tag?: string;
      platform?: string;
      allPlatforms?: boolean;
      credentials?: Credentials;
    },
  ): AsyncIterable<Progress>;
  search(
    term: string,
    o?: Signal & { limit?: number; filters?: Filters; credentials?: Credentials },
  ): Promise<SearchResult[]>;
  /** What a registry has under a name. */
  inspectRemote(name: string, o?: Signal & { credentials?: Credentials }): Promise<RemoteImage>;
  /** Throws unauthorized when the registry does not take the credentials. */
  login(address: string, credentials: Credentials, o?: Signal): Promise<{ identityToken: string }>;
}

export interface Event {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  scope: "local";
  time: number;
  timeNano: number | bigint;
}
export interface Events {
  /** Past events from `since`, then live ones until `until` or the signal. */
  subscribe(
    o: Signal & { since?: number; until?: number; filters?: Filters },
  ): AsyncIterable<Event>;
}

export interface Volume {
  Name: string;
  Driver: string;
  Mountpoint: string;
  CreatedAt: string;
  Labels: Record<string, string> | null;
  Options: Record<string, string> | null;
  Scope: "local";
  UsageData?: { Size: number; RefCount: number };
  /** Of inspect: SizeLimit and SizeUsed in bytes, and what keeps the limit. */
  Status?: Record<string, unknown>;
}
export interface Volumes {
  create(o: {
    Name?: string;
    Driver?: string;
    DriverOpts?: Record<string, string>;
    Labels?: Record<string, string>;
  }): Promise<Volume>;
  inspect(name: string): Promise<Volume>;
  /** Changes driver options, also in use: of the local driver only size. */
  update(name: string, o: { DriverOpts?: Record<string, string> }): Promise<void>;
  list(filters?: Filters): Promise<{ volumes: Volume[]; warnings: string[] }>;
  /** Everything in it as a tar. */
  export(name: string, o?: Signal): Promise<Readable>;
  /** Unpacks a tar into a volume that is new or empty. */
  import(name: string, tar: Readable, o?: Signal): Promise<Volume>;
  clone(from: string, to: string, o?: Signal): Promise<Volume>;
  remove(name: string, o?: { force?: boolean }): Promise<void>;
  prune(filters?: Filters): Promise<{ deleted: string[]; spaceReclaimed: number }>;
}
/** A network as inspect shows it; Docker's own field names. */
export type Network = Record<string, unknown> & { Id: string; Name: string; Driver: string };
export type { Explanation } from "./networks/explain.ts";

export interface Networks {
  list(filters?: Filters): Promise<Network[]>;
  inspect(ref: string): Promise<Network>;
  create(request: CreateNetworkRequest): Promise<{ id: string; warnings: string[] }>;
  /** By name, id or prefix. Throws forbidden for predefined networks and while containers run. */
  remove(ref: string): Promise<void>;
  /** A stopped container gets its endpoint at the next start, a running one at once. */
  connect(ref: string, container: string, settings?: EndpointSettings): Promise<void>;
  /** `force`: also where the network itself is gone. */
  disconnect(ref: string, container: string, o?: { force?: boolean }): Promise<void>;
  prune(filters?: Filters): Promise<{ deleted: string[] }>;
  /** Why a port ("80", "53/udp"; absent: all that are published) is reachable or is not. */
  explain(container: string, port?: string): Promise<Explanation>;
}

export interface SystemInfo {
  [field: string]: unknown;
}
export interface System {
  info(): Promise<SystemInfo>;
  version(): Promise<Record<string, unknown>>;
  df(o?: Signal & { types?: string[] }): Promise<Record<string, unknown>>;
}

export interface EngineDoors {
  containers: Containers;
  images: Images;
  volumes: Volumes;
  networks: Networks;
  events: Events;
  system: System;
  builds: Builds;
}
