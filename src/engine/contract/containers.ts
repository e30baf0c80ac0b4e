// The door to containers and execs. Docker's own field names (PascalCase) are used for the nouns
// that travel unchanged between client, record and image config. Every verb takes { signal } last.

import type { Duplex, Readable } from "node:stream";
import type {
  ContainerConfig,
  EndpointSettings,
  ExecConfig,
  HostConfig,
  NetworkingConfig,
  Platform,
} from "../../spec/index.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Filters, PortMap, Signal } from "./shared-nouns.ts";

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
  /** Gantry's own: a phrase where the exit code says too little (out of memory, killed …). */
  Reason?: string;
  Health?: { Status: string; FailingStreak: number; Log: HealthResult[] };
}
export interface HealthResult {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

/** How far a remote driver is with the log; Gantry's own. Counts are of this daemon's time. */
export interface ContainerLogShipping {
  Driver: string;
  /** "failing": the last attempt failed, and is repeated. */
  State: "shipping" | "failing" | "done";
  ShippedLines: number;
  ShippedBytes: number;
  /** On disk, not shipped yet. */
  WaitingBytes: number;
  Retries: number;
  /** Lines that the receiver refused, or that an option gave up. */
  RefusedLines: number;
  /** Lines for which there was no room (mode=non-blocking, a full disk), ever. */
  DroppedLines: number;
  ShippedAt?: string;
  Error?: string;
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
  /** As a list shows it: the id once that name is another image's, or none's. */
  imageShown: string;
  platform: string;
  config: ContainerConfig;
  /** IDMappings: "CONTAINER_ID:HOST_ID:SIZE" of its user namespace, where it has one. */
  hostConfig: HostConfig & { IDMappings?: { UidMap: string[]; GidMap: string[] } };
  mounts: MountPoint[];
  networks: Record<string, EndpointSettings>;
  ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
  restartCount: number;
  logPath: string;
  /** Of inspect, where a remote driver has the log. */
  logShipping?: ContainerLogShipping;
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
  /** In lists: how those that link to it call it ("app/db"). */
  linkNames?: string[];
  imageManifest?: { mediaType: string; digest: string; size: number; platform?: Platform };
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
  start(ref: string, o?: Signal & { checkpoint?: string; checkpointDir?: string }): Promise<void>;
  checkpoints: Checkpoints;
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
  ): Promise<{ done: Promise<{ exitCode: number; error?: string; reason?: string }> }>;
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
  /** Only entries whose text matches this regular expression. */
  grep?: string;
}
export interface LogStream {
  tty: boolean;
  /** Multiplexed frames without a terminal, raw text with one. */
  readonly stream: Readable;
  /** The same, read instead of `stream` and without its garbage: a block's memory is written again
   * when the next but one is asked for. */
  readonly blocks: AsyncIterable<Buffer>;
  /** Entries for which there was no room, since the container was made: a full disk, a full buffer
   * or spool of mode=non-blocking. Absent: none. */
  dropped?: number;
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
