// What is known of a container only while this process lives: the connection to its monitor, its
// execs, who waits for its exit, who wants to attach when it starts. Nothing here must survive.

import type { Duplex } from "node:stream";
import type { ExitStatus, Monitor } from "../../native/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type { ExecConfig } from "../../spec/index.ts";
import type { MemoryAtOom, SentSignal } from "./ending.ts";

/** Docker forgets an exec five minutes after its end. */
const ENDED_EXECS_MAX = 1024;

export interface WaitResult {
  exitCode: number;
  error?: string;
  /** A phrase where the exit code says too little. */
  reason?: string;
}

export interface ExecInstance {
  id: string;
  containerId: string;
  config: ExecConfig;
  detachKeys: string;
  running: boolean;
  started: boolean;
  exitCode: number | null;
  pid: number;
  exited?: Promise<ExitStatus>;
  /** Its output has ended; the exit follows. */
  streamsEnded?: boolean;
}

/** Someone attached before the start: connected, or failed, by start. */
export interface PendingAttach {
  streams: { stdin: boolean; stdout: boolean; stderr: boolean };
  connect(inner: Duplex): void;
  fail(): void;
}

/** A monitor waits for clients that are slow to read, long after it has torn down. */
const DEPARTURE_MAX_MS = 3_000;

export class LiveContainer {
  monitor: Monitor | undefined;
  pendingAttaches = new Set<PendingAttach>();
  execs = new Map<string, ExecInstance>();
  restartTimer: NodeJS.Timeout | undefined;
  restartDelayMs = 0;
  /** The stop in progress: an exit while it is set is not restarted. */
  stopping = false;
  /** A restart is under way: --rm does not apply to this exit. */
  keepAfterExit = false;
  stopHealth: (() => void) | undefined;
  /** Signals that were sent in the current run, oldest first. */
  sent: SentSignal[] = [];
  memoryAtOom: MemoryAtOom | undefined;
  /** What it has of networks as of the last change; undefined: what its record says. */
  attachments: readonly AttachmentRecord[] | undefined;
  /** The current run has been said to be out of memory. */
  wasOomTold = false;
  /** Settles when the exit of the current run has been recorded. */
  exitHandled: Promise<void> = Promise.resolve();
  /** Settles when the monitor of the run before has torn down what that run had. */
  tornDown: Promise<void> = Promise.resolve();
  #departing: Monitor | undefined;
  #outputs = new Set<Promise<void>>();
  #exitWaiters = new Set<(result: WaitResult) => void>();
  #removalWaiters = new Set<(result: WaitResult) => void>();

  /** The run has ended. Its monitor goes by itself once it has killed and removed the cgroup and
   * the interfaces; a next run that began before would be killed in the same cgroup. */
  depart(): void {
    const { monitor } = this;
    this.monitor = undefined;
    if (!monitor) return;
    this.#departing = monitor;
    const late = setTimeout(() => monitor.close(), DEPARTURE_MAX_MS);
    late.unref();
    this.tornDown = monitor.closed.then(() => clearTimeout(late));
  }

  /** Lets go of the monitor at once; it goes on. */
  leave(): void {
    this.monitor?.close();
    this.#departing?.close();
  }

  onNextExit(listener: (result: WaitResult) => void): () => void {
    this.#exitWaiters.add(listener);
    return () => this.#exitWaiters.delete(listener);
  }

  onRemoval(listener: (result: WaitResult) => void): () => void {
    this.#removalWaiters.add(listener);
    return () => this.#removalWaiters.delete(listener);
  }

  /** Someone is attached until `drained`. */
  followOutput(drained: Promise<void>): void {
    this.#outputs.add(drained);
    void drained.then(() => this.#outputs.delete(drained));
  }

  /** Resolves when everyone who is attached has all output, or after `deadlineMs`: one who does
   * not read must not keep the exit from being known. */
  async outputsDrained(deadlineMs: number): Promise<void> {
    if (this.#outputs.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([Promise.all(this.#outputs), late]);
    clearTimeout(timer);
  }

  announceExit(result: WaitResult): void {
    const waiters = [...this.#exitWaiters];
    this.#exitWaiters.clear();
    for (const waiter of waiters) waiter(result);
  }

  announceRemoval(result: WaitResult): void {
    this.announceExit(result);
    const waiters = [...this.#removalWaiters];
    this.#removalWaiters.clear();
    for (const waiter of waiters) waiter(result);
  }

  failPendingAttaches(): void {
    const pending = [...this.pendingAttaches];
    this.pendingAttaches.clear();
    for (const attach of pending) attach.fail();
  }
}

export class LiveContainers {
  #byId = new Map<string, LiveContainer>();
  /** Exec id → its instance; docker addresses execs without their container. */
  readonly execs = new Map<string, ExecInstance>();
  /** Execs that have ended, oldest first: their exit codes are asked for afterwards. */
  #ended: string[] = [];

  of(id: string): LiveContainer {
    let live = this.#byId.get(id);
    if (!live) {
      live = new LiveContainer();
      this.#byId.set(id, live);
    }
    return live;
  }

  peek(id: string): LiveContainer | undefined {
    return this.#byId.get(id);
  }

  /** The exec is no longer its container's; it can be inspected for a while yet. */
  endExec(exec: ExecInstance): void {
    this.#byId.get(exec.containerId)?.execs.delete(exec.id);
    this.#ended.push(exec.id);
    if (this.#ended.length > ENDED_EXECS_MAX) this.execs.delete(this.#ended.shift()!);
  }

  forget(id: string): void {
    const live = this.#byId.get(id);
    for (const execId of live?.execs.keys() ?? []) this.execs.delete(execId);
    this.#byId.delete(id);
  }

  values(): IterableIterator<LiveContainer> {
    return this.#byId.values();
  }
}
