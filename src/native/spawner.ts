// `Native` over the resident spawner: one child process, one socket (its fd 3), requests answered
// by id. When the spawner dies every open request fails; restarting it is the daemon's decision.

import { type ChildProcess, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { GantryError, programRoot } from "../base/index.ts";
import type { Created, MonitorConfig, Native, PlanResults } from "./contract.ts";
import { encodeMonitorConfig, encodePlan, encodeStrings } from "./encode.ts";
import { decodeFailure, decodeResults } from "./failure.ts";
import { Cursor, encodeFrame, type Frame, FrameReader, frameType } from "./frames.ts";
import type { Plan } from "./operations.ts";
import { StreamRendezvous } from "./stream-rendezvous.ts";

const CLOSE_WAIT_MS = 5_000;

export const nativeProgramPath: string = join(programRoot(), "native/build/gantry-native");
export const initProgramPath: string = join(programRoot(), "native/build/gantry-init");

const kept = new Map<string, string>();

/** The native program as it was when this process first asked for it, by a descriptor that is kept:
 * one that was built or installed since may speak another protocol. Good for any process that may
 * look at this one. */
export function keptProgramPath(path: string = nativeProgramPath): string {
  const known = kept.get(path) ?? `/proc/${process.pid}/fd/${openSync(path, "r")}`;
  kept.set(path, known);
  return known;
}

type Pending = {
  plan: Partial<Plan>;
  resolve: (payload: Buffer) => void;
  reject: (error: unknown) => void;
};

export class Spawner implements Native {
  #child: ChildProcess;
  #socket: Duplex;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #closing = false;
  #ended: GantryError | undefined;
  #rendezvous: StreamRendezvous;
  /** Resolves when the spawner process has gone, for whatever reason. */
  readonly exited: Promise<void>;

  constructor(options: { execRoot: string; program?: string }) {
    const program = options.program ?? nativeProgramPath;
    this.#rendezvous = new StreamRendezvous(options.execRoot);
    this.#child = spawn(program, ["spawn"], {
      argv0: nativeProgramPath,
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      cwd: "/",
      env: {},
    });
    // A process that could not be started for want of descriptors has no pipes, only its error.
    const pipes = this.#child.stdio as ChildProcess["stdio"] | undefined;
    this.#socket = (pipes?.[3] ?? nowhere()) as Duplex;
    const reader = new FrameReader();
    this.#socket.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#answer(frame);
      } catch (error) {
        this.#end(error);
        this.#child.kill("SIGKILL");
      }
    });
    this.#socket.on("error", (error) => this.#end(error));
    this.exited = new Promise((resolve) => {
      this.#child.on("error", (error: NodeJS.ErrnoException) => {
        this.#end(error);
        resolve();
      });
      this.#child.on("exit", (code, signal) => {
        this.#end(new Error(`exit ${signal ?? code}`));
        resolve();
      });
    });
    // A daemon that has nothing else to do may end: the spawner ends with it.
    this.#child.unref();
    (this.#socket as unknown as { unref?: () => void }).unref?.();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async run(
    plan: Pick<Plan, "host" | "deadlineMs"> & Partial<Plan>,
    options: { signal?: AbortSignal } = {},
  ): Promise<PlanResults> {
    const payload = await this.#request(frameType.run, [encodePlan(plan)], plan, options.signal);
    return decodeResults(new Cursor(payload));
  }

  async create(
    plan: Plan,
    monitor: MonitorConfig,
    options: { signal?: AbortSignal } = {},
  ): Promise<Created> {
    const parts = [encodeMonitorConfig(monitor), encodePlan(plan)];
    const payload = await this.#request(frameType.create, parts, plan, options.signal);
    const cursor = new Cursor(payload);
    const pid = cursor.u32();
    const startTicks = cursor.u64();
    const monitorPid = cursor.u32();
    return { pid, startTicks, monitorPid, results: decodeResults(cursor) };
  }

  async preparePool(parents: readonly string[]): Promise<void> {
    await this.#request(frameType.pool, [encodeStrings(parents)], {}, undefined);
  }

  openStream(): { path: string; token: Uint8Array; stream: Promise<Duplex>; close(): void } {
    return this.#rendezvous.open();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#rendezvous.close();
    this.#socket.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_WAIT_MS);
    await this.exited;
    clearTimeout(timer);
    this.#socket.destroy();
  }

  async #request(
    type: number,
    parts: Uint8Array[],
    plan: Partial<Plan>,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0x7fff_ffff) + 1;
    const frame = encodeFrame(id, type, ...parts);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#pending.set(id, { plan, resolve, reject });
    // Cancelled means asked to stop: the answer still says whether it was in time.
    const cancel = () => this.#socket.write(encodeFrame(id, frameType.cancel));
    signal?.addEventListener("abort", cancel, { once: true });
    this.#hold();
    this.#socket.write(frame);
    try {
      return await promise;
    } finally {
      this.#pending.delete(id);
      signal?.removeEventListener("abort", cancel);
      this.#hold();
    }
  }

  /** An open request keeps this program alive; an idle spawner does not. */
  #hold(): void {
    const socket = this.#socket as unknown as { ref?: () => void; unref?: () => void };
    if (this.#pending.size > 0) socket.ref?.();
    else socket.unref?.();
  }

  #answer({ id, type, payload }: Frame): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    if (type === frameType.ok) pending.resolve(payload);
    else pending.reject(decodeFailure(payload, pending.plan));
  }

  #end(cause: unknown): void {
    if (this.#ended) return;
    const code = (cause as NodeJS.ErrnoException).code;
    const message =
      code === "ENOENT"
        ? "The native program is not built: run `npm run build`"
        : this.#closing
          ? "The native program was closed"
          : "The native program has ended; restart the daemon";
    this.#ended = new GantryError("unavailable", message, { cause });
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
  }
}

/** Takes what is written and says nothing. */
const nowhere = (): Duplex => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
