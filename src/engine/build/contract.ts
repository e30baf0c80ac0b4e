// What the doors may ask of building.

import type { Duplex, Readable } from "node:stream";
import type { Platform } from "../../spec/index.ts";
import type { Progress, Signal } from "../contract.ts";
import type { CacheMountEntry } from "./cache-mounts.ts";
import type { BuildEvent, BuildJob, BuildOutcome, BuildStatement } from "./job.ts";
import type { CachePruneOptions } from "./prune.ts";
import type { BuildRequest } from "./request.ts";

export type { CacheMountEntry } from "./cache-mounts.ts";
export type * from "./job.ts";
export type { CachePruneOptions } from "./prune.ts";
export type { BuildRequest } from "./request.ts";
export type * from "./session.ts";

export interface Builds {
  /** Docker's progress messages, the last of them naming the image. Commit point: the image is
   * stored. An aborted signal ends the running steps at once. */
  build(request: BuildRequest, o?: Signal): AsyncIterable<Progress>;
  /** Runs a build to its end. `tell` gets every event as `follow` does, at once and in order.
   * Commit point: the first output is written; an aborted signal before it ends the running steps.
   * Throws conflict when a build of that ref runs; errors of the file have a place (`placeOf`). */
  solve(job: BuildJob, o?: Signal & { tell?(event: BuildEvent): void }): Promise<BuildOutcome>;
  /** Everything that a build tells, from its beginning; ends when the build has. A build that has
   * not begun is waited for; one that has ended is told from the history. Whoever does not read
   * what a step says holds that step back for a while. */
  follow(ref: string, o?: Signal): AsyncIterable<BuildEvent>;
  /** Ends a build by its ref (or the id that a classic request gave). Throws not-found. */
  cancel(ref: string): void;
  /** Answers a question about the Dockerfile instead of building it: "frontend.lint",
   * "frontend.outline", "frontend.targets", "frontend.subrequests.describe". The metadata as
   * BuildKit gives it: "result.json", "result.txt", "result.statuscode", "version". */
  subrequest(name: string, job: BuildJob, o?: Signal): Promise<Readonly<Record<string, string>>>;
  readonly history: BuildHistory;
  readonly failures: FailedSteps;
  /** Forgets cached steps and frees their layers; the least recently used first. */
  prune(o?: CachePruneOptions): Promise<{ deleted: string[]; spaceReclaimed: number }>;
  /** Whose commands run here; the machine's own first. */
  platforms(): Promise<readonly Platform[]>;
  /** What is pruned after each build, in this order. */
  gcPolicy(): Promise<readonly CachePruneOptions[]>;
  readonly cacheMounts: BuildCacheMounts;
}

/** A build as the history remembers it. Times are milliseconds since the epoch. */
export interface BuildRecord {
  ref: string;
  /** "Dockerfile" and target, or a tag: for people. */
  name: string;
  /** What was asked for, for `history inspect`: "target", "build-arg:…", "context". */
  attrs: Readonly<Record<string, string>>;
  status: "running" | "completed" | "failed" | "cancelled";
  startedAtMs: number;
  completedAtMs?: number | undefined;
  stepsTotal: number;
  stepsCompleted: number;
  stepsCached: number;
  warnings: number;
  error?: string | undefined;
  /** Image ids by platform, "linux/amd64". */
  images: Readonly<Record<string, string>>;
  /** What the outputs said of themselves. */
  metadata: Readonly<Record<string, string>>;
  materials: readonly { uri: string; digest: Readonly<Record<string, string>> }[];
  /** How each platform's image was made. Absent: it failed, or an older version made the record. */
  statements?: readonly BuildStatement[] | undefined;
  /** Kept whatever the limits say. */
  pinned: boolean;
}
export type HistoryEvent = { kind: "started" | "complete" | "deleted"; record: BuildRecord };

export interface BuildHistory {
  /** The newest first; running builds too. */
  list(): BuildRecord[];
  get(ref: string): BuildRecord | undefined;
  /** The text of a statement; undefined when no record has it. */
  statement(digest: string): Promise<string | undefined>;
  /** Throws not-found. */
  remove(ref: string): Promise<void>;
  pin(ref: string, pinned: boolean): void;
  /** What there is (`active` or all), then what comes, unless `once`. */
  listen(o?: Signal & { activeOnly?: boolean; once?: boolean }): AsyncIterable<HistoryEvent>;
}

/** Failed steps of builds with `keepFailed`, until they are let go. */
export interface FailedSteps {
  /** The step that failed, while its files are kept. */
  get(ref: string): FailedStep | undefined;
  /** Starts a command in the state of the failed step: its files, mounts, environment, user and
   * folder; one at a time. The duplex is the terminal, or docker's frames without `tty`. */
  shell(ref: string, o: ShellOptions & Signal): Promise<Shell>;
  /** The terminal of the shell that is open. Throws not-found where there is none. */
  resize(ref: string, size: { columns: number; rows: number }): Promise<void>;
  /** Removes the files. Nothing happens when there are none. */
  release(ref: string): Promise<void>;
}
export interface FailedStep {
  ref: string;
  /** The vertex's digest and name. */
  vertex: string;
  name: string;
  args: readonly string[];
  exitCode: number | undefined;
  /** Of the shell that ended last. */
  shellExitCode?: number | undefined;
}
export interface ShellOptions {
  /** None: the shell that ran the step, else /bin/sh. */
  args?: readonly string[] | undefined;
  tty: boolean;
  size?: { columns: number; rows: number } | undefined;
}
export interface Shell {
  stream: Duplex;
  resize(size: { columns: number; rows: number }): Promise<void>;
  /** The exit code. */
  ended: Promise<number>;
}

/** The folders of RUN --mount=type=cache. One is named by what the Dockerfile calls it, or by its
 * key or the beginning of one; not-found where none fits, conflict where several do. */
export interface BuildCacheMounts {
  list(): Promise<CacheMountEntry[]>;
  find(wanted: string): Promise<CacheMountEntry>;
  /** Its files as a tar; compression: "", "none", "gzip", "zstd". */
  export(wanted: string, o?: Signal & { compression?: string }): Promise<Readable>;
  /** Makes the mount of that name what a tar holds, compressed or not. */
  import(name: string, tar: Readable, o?: Signal): Promise<CacheMountEntry>;
  /** Throws conflict while a step uses it. */
  remove(wanted: string): Promise<{ spaceReclaimed: number }>;
}
