// What the rest of Gantry may ask of the native program. `Spawner` (spawner.ts) implements
// `Native` over the resident process; `Recorder` (recorder.ts) implements it for tests.

import type { Duplex } from "node:stream";
import type { Operation, Plan, PlanHalf } from "./operations.ts";

/** Results by the index of the operation in its half that made them; raw bytes. */
export interface PlanResults {
  /** The int64s that operation `index` of the host half reported. */
  ints(index: number): bigint[];
  bytes(index: number): Uint8Array;
  has(index: number): boolean;
}

/** Thrown (as GantryError, kind by errno) with this in `detail` when a plan fails. */
export interface PlanFailure {
  half: PlanHalf;
  index: number;
  operation: Operation | undefined;
  errno: string; // "ENOENT"
  number: number;
  /** Text of the kernel or of the native program (netlink extack, path), may be "". */
  text: string;
  /** Teardown operations that failed too. */
  teardown: { index: number; errno: string }[];
}

/** The local log: files <path>.000001 … of which the newest is being written. */
export interface MonitorLog {
  path: string;
  maxBytes: number; // of a file; 0: no limit
  maxFiles: number;
  /** JSON text of the "attrs" member of each line, or "". */
  attrs: string;
  /** Docker's JSON lines (default), or records of native/monitor-log.h. */
  format?: "json" | "binary";
  /** Of a remote driver: what is not shipped is kept, up to so much. */
  spoolBytes?: number;
  /** A full spool makes the container wait (default), or costs the oldest file. */
  blocking?: boolean;
  /** mode=non-blocking: size of the ring before a slow disk. */
  queueBytes?: number;
}

/** What the monitor of a container does beside running it. Paths are absolute. */
export interface MonitorConfig {
  id: string;
  /** Its unix socket (mode 0600); also the place from which recovery finds it. */
  socketPath: string;
  /** Written atomically when the init has exited: see ExitRecord. */
  exitPath: string;
  /** Absent for log driver "none". */
  log?: MonitorLog;
  terminal: boolean;
  /** Close the container's stdin when the first attached stdin ends (StdinOnce). */
  stdinOnce: boolean;
  openStdin: boolean;
  /** Output stays unread in its pipe until release() or this deadline: nothing is lost between
   * the start and the first attach. */
  holdMs: number;
  /** cgroup v1 memory.oom_control or v2 memory.events to watch for OOM kills; "" for none. */
  oomPath: string;
  /** cgroup.procs files into which the monitor puts itself once the container runs: cgroups of its
   * own, where the daemon's (a systemd unit) would take it down with the daemon. Best effort. */
  cgroupProcs?: readonly string[];
}

export interface ExitStatus {
  /** 0–255; 128 + signal when killed by one, as docker shows it. */
  code: number;
  signal: number;
  oomKilled: boolean;
  finishedAt: Date;
  /** Nobody saw how it ended: the monitor was gone. */
  lost?: true;
}

export interface Created {
  /** Pid of the container's init in the daemon's pid namespace. */
  pid: number;
  /** Start time of that pid in clock ticks (/proc/pid/stat field 22): guards pid reuse. */
  startTicks: bigint;
  monitorPid: number;
  results: PlanResults;
}

export interface Native {
  /** Runs a host-only plan in a worker; `container` must be empty. */
  run(
    plan: Pick<Plan, "host" | "deadlineMs"> & Partial<Plan>,
    options?: { signal?: AbortSignal },
  ): Promise<PlanResults>;
  /** Starts a container: a monitor and, beneath it, the init. Resolves when execve succeeded.
   * After a failure everything of the plan is torn down and the monitor is gone. */
  create(plan: Plan, monitor: MonitorConfig, options?: { signal?: AbortSignal }): Promise<Created>;
  /** Has standby executors prepare cgroups beneath these v1 folders (which must exist), for
   * enterCgroups; with none, waits until nothing that they prepared is left. */
  preparePool?(parents: readonly string[]): Promise<void>;
  /** A rendezvous for `connect` operations: put path and token in the plan, await the stream. */
  openStream(): { path: string; token: Uint8Array; stream: Promise<Duplex>; close(): void };
  close(): Promise<void>;
}

/** A live connection to one container's monitor. Lost when the monitor ends. */
export interface Monitor {
  readonly pid: number;
  /** Resolves once with the exit of init; rejects only if the monitor vanishes without one. */
  readonly exited: Promise<ExitStatus>;
  /** Resolves when the monitor is gone: by then the teardown of its plan is done. */
  readonly closed: Promise<void>;
  /** Called for each OOM kill seen in the container's cgroup. */
  onOom(listener: () => void): void;
  /** Called after each rotation of the log. */
  onLogRotated(listener: () => void): void;
  /** Let output flow (see holdMs); `process` defaults to init. */
  release(process?: string): void;
  /** `process` is "" for init or an exec id. */
  kill(process: string, signal: number): Promise<void>;
  resize(process: string, rows: number, columns: number): Promise<void>;
  /** Runs an exec plan; resolves when execve succeeded, with the exec's pid. */
  exec(
    execId: string,
    plan: Plan,
    options: { terminal: boolean; openStdin: boolean; holdMs: number },
  ): Promise<{ pid: number; startTicks: bigint; exited: Promise<ExitStatus> }>;
  /** A byte stream with the process's standard streams. What is read: with a terminal, raw
   * bytes; without, docker's multiplexed frames ([stream, 0, 0, 0, length BE32] + data), so that
   * the API can relay without looking. What is written is stdin, raw; ending it half-closes.
   * Ends when the process's output ends. */
  attach(
    process: string,
    streams: { stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<Duplex>;
  close(): void;
}
