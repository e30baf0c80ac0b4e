// What a build tells while it runs: vertices with their beginnings and ends, parts of them with
// progress of their own, output, warnings. Everybody who follows it gets everything from the
// beginning, in one order; what is kept for those who come late has a bound, and who follows but
// does not read holds the talking step back, but not for ever.

import { randomBytes } from "node:crypto";
import { digestOf } from "../../spec/index.ts";
import type { BuildEvent, BuildReporter, BuildVertex, BuildWarning, VertexReport } from "./job.ts";

/** Output kept for whoever comes later; the rest of a step that says more is only told live. */
const KEPT_LOG_BYTES_MAX = 8 * 1024 * 1024;
/** What a piece of output costs beside its bytes: a step may write one byte at a time. */
const PIECE_BYTES = 64;
/** What a follower may leave unread before steps wait for it. */
const UNREAD_BYTES_MAX = 2 * 1024 * 1024;
/** How long they wait for one that reads nothing at all; after that it misses output. */
const PATIENCE_MS = 10_000;
/** Progress of a part is told no more often. */
const STATUS_EVERY_MS = 100;
const CLIPPED = "[output clipped: too much of it was not read in time]\n";

type Told = (event: BuildEvent) => void;
/** What it counts of itself, for the history. */
export interface ReportCounts {
  stepsTotal: number;
  stepsCompleted: number;
  stepsCached: number;
  warnings: number;
}

export class BuildReport implements BuildReporter {
  /** Bake's builds are shown together: what is not the same step must not look the same. */
  readonly #salt = randomBytes(8).toString("hex");
  readonly #events: BuildEvent[] = [];
  readonly #vertices = new Map<string, BuildVertex>();
  /** Where in the events the last word of each part stands. */
  readonly #statuses = new Map<string, number>();
  readonly #names = new Map<string, number>();
  readonly #listeners = new Set<Told>();
  readonly #followers = new Set<Follower>();
  #keptBytes = 0;
  #warnings = 0;
  #isOver = false;

  constructor(tell?: Told) {
    if (tell) this.#listeners.add(tell);
  }

  tell(event: BuildEvent): void {
    if (this.#isOver) return;
    if (event.kind === "vertex") this.#vertices.set(event.vertex.digest, event.vertex);
    if (event.kind === "warning") this.#warnings++;
    this.#keep(event);
    for (const listener of this.#listeners) listener(event);
    for (const follower of this.#followers) follower.push(event);
  }

  /** Resolves when whoever follows has read enough that more may be said; undefined: at once. */
  room(): Promise<void> | undefined {
    const full = [...this.#followers].flatMap((follower) => follower.room() ?? []);
    return full.length === 0 ? undefined : Promise.all(full).then(() => {});
  }

  async step<T>(
    name: string,
    work: (vertex: VertexReport) => Promise<T>,
    { inputs = [] }: { inputs?: readonly string[] } = {},
  ): Promise<T> {
    const vertex = this.open(name, { inputs });
    try {
      const result = await work(vertex);
      vertex.done();
      return result;
    } catch (error) {
      vertex.failed(error);
      throw error;
    }
  }

  /** Announces a vertex and begins it unless `waits`. */
  open(
    name: string,
    o: { inputs?: readonly string[]; digest?: string; waits?: boolean } = {},
  ): OpenVertex {
    const digest = o.digest ?? this.#digestFor(name);
    const vertex = { digest, name, inputs: o.inputs ?? [], cached: false };
    const open = new OpenVertex(this, vertex);
    if (o.waits) this.tell({ kind: "vertex", vertex });
    else open.begin();
    return open;
  }

  warn(warning: BuildWarning): void {
    this.tell({ kind: "warning", warning });
  }

  vertex(digest: string): BuildVertex | undefined {
    return this.#vertices.get(digest);
  }

  counts(): ReportCounts {
    const all = [...this.#vertices.values()];
    return {
      stepsTotal: all.length,
      stepsCompleted: all.filter(({ completedAtMs, error }) => completedAtMs && !error).length,
      stepsCached: all.filter(({ cached }) => cached).length,
      warnings: this.#warnings,
    };
  }

  /** What has been told and is kept. */
  events(): readonly BuildEvent[] {
    return this.#events;
  }

  /** From the beginning to the end of the build. */
  async *follow(signal?: AbortSignal): AsyncGenerator<BuildEvent> {
    const follower = new Follower(this.#events, signal);
    if (this.#isOver) follower.end();
    else this.#followers.add(follower);
    try {
      yield* follower.events();
    } finally {
      this.#followers.delete(follower);
      follower.end();
    }
  }

  /** Nothing more is told. What never ended ends as canceled. */
  end(): void {
    for (const vertex of this.#vertices.values()) {
      if (vertex.startedAtMs === undefined || vertex.completedAtMs !== undefined) continue;
      this.tell({
        kind: "vertex",
        vertex: {
          ...vertex,
          completedAtMs: Date.now(),
          error: "context canceled: context canceled",
        },
      });
    }
    this.#isOver = true;
    for (const follower of this.#followers) follower.end();
  }

  /** The same name twice in a build is told apart by its number. */
  #digestFor(name: string): string {
    const count = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, count);
    return digestOf(JSON.stringify(["vertex", this.#salt, name, count]));
  }

  #keep(event: BuildEvent): void {
    if (event.kind === "log") {
      if (this.#keptBytes > KEPT_LOG_BYTES_MAX) return;
      this.#keptBytes += event.bytes.length + PIECE_BYTES;
      if (this.#keptBytes > KEPT_LOG_BYTES_MAX) {
        this.#events.push({ ...event, bytes: Buffer.from(CLIPPED) });
        return;
      }
    }
    if (event.kind === "status") {
      // Only how far each part has come at last is kept.
      const key = `${event.status.vertex}\n${event.status.id}`;
      const at = this.#statuses.get(key);
      if (at !== undefined) {
        this.#events[at] = event;
        return;
      }
      this.#statuses.set(key, this.#events.length);
    }
    this.#events.push(event);
  }
}

/** A vertex that is under way, told each time that something about it changes. */
export class OpenVertex implements VertexReport {
  readonly #report: BuildReport;
  readonly #parts = new Map<string, { startedAtMs: number; toldAtMs: number }>();
  #vertex: BuildVertex;

  constructor(report: BuildReport, vertex: BuildVertex) {
    this.#report = report;
    this.#vertex = vertex;
  }

  get digest(): string {
    return this.#vertex.digest;
  }

  /** As it was told last. */
  get state(): BuildVertex {
    return this.#vertex;
  }

  begin(): void {
    if (this.#vertex.startedAtMs === undefined) this.#change({ startedAtMs: Date.now() });
  }

  done(o: { cached?: boolean; because?: string | undefined } = {}): void {
    this.#end({ ...(o.cached && { cached: true }), ...(o.because && { because: o.because }) });
  }

  failed(error: unknown, because?: string): void {
    const message = error instanceof Error ? error.message : String(error);
    const first = message.split("\n", 1)[0] ?? "";
    this.#end({ error: first === "" ? "failed" : first, ...(because && { because }) });
  }

  log(text: string | Uint8Array, stream: 1 | 2 = 1): Promise<void> | undefined {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    const { digest } = this.#vertex;
    this.#report.tell({ kind: "log", vertex: digest, stream, bytes, atMs: Date.now() });
    return this.#report.room();
  }

  status(id: string, o: { current: number; total: number; done?: boolean }): void {
    const atMs = Date.now();
    const { current, total, done } = o;
    const part = this.#parts.get(id);
    if (part && !done && atMs - part.toldAtMs < STATUS_EVERY_MS) return;
    const startedAtMs = part?.startedAtMs ?? atMs;
    this.#parts.set(id, { startedAtMs, toldAtMs: atMs });
    this.#report.tell({
      kind: "status",
      status: {
        ...{ id, vertex: this.#vertex.digest, name: id, current, total, atMs, startedAtMs },
        ...(done && { completedAtMs: atMs }),
      },
    });
  }

  #end(change: Partial<BuildVertex>): void {
    if (this.#vertex.completedAtMs !== undefined) return;
    const now = Date.now();
    this.#change({ startedAtMs: this.#vertex.startedAtMs ?? now, ...change, completedAtMs: now });
  }

  #change(change: Partial<BuildVertex>): void {
    this.#vertex = { ...this.#vertex, ...change };
    this.#report.tell({ kind: "vertex", vertex: this.#vertex });
  }
}

/** One who follows: what it has not read yet. */
class Follower {
  #queue: BuildEvent[];
  #bytes = 0;
  #news = Promise.withResolvers<void>();
  #room: PromiseWithResolvers<void> | undefined;
  #patience: NodeJS.Timeout | undefined;
  #isSlow = false;
  #isOver = false;
  readonly #signal: AbortSignal | undefined;

  constructor(before: readonly BuildEvent[], signal: AbortSignal | undefined) {
    this.#queue = [...before];
    this.#signal = signal;
  }

  push(event: BuildEvent): void {
    if (event.kind === "log" && this.#isSlow) return;
    this.#queue.push(event);
    if (event.kind === "log") this.#bytes += event.bytes.length + PIECE_BYTES;
    this.#news.resolve();
  }

  room(): Promise<void> | undefined {
    if (this.#bytes < UNREAD_BYTES_MAX || this.#isSlow || this.#isOver) return undefined;
    if (this.#room === undefined) {
      this.#room = Promise.withResolvers();
      this.#patience = setTimeout(() => this.#giveUp(), PATIENCE_MS).unref();
    }
    return this.#room.promise;
  }

  end(): void {
    this.#isOver = true;
    this.#free();
    this.#news.resolve();
  }

  async *events(): AsyncGenerator<BuildEvent> {
    const leave = () => this.#news.resolve();
    this.#signal?.addEventListener("abort", leave, { once: true });
    try {
      for (;;) {
        this.#signal?.throwIfAborted();
        const events = this.#queue;
        this.#queue = [];
        this.#bytes = 0;
        this.#isSlow = false;
        this.#free();
        yield* events;
        if (this.#queue.length > 0) continue;
        if (this.#isOver) return;
        await this.#news.promise;
        this.#news = Promise.withResolvers();
      }
    } finally {
      this.#signal?.removeEventListener("abort", leave);
    }
  }

  #giveUp(): void {
    this.#isSlow = true;
    const last = this.#queue.findLast((event) => event.kind === "log");
    if (last?.kind === "log") this.#queue.push({ ...last, bytes: Buffer.from(CLIPPED) });
    this.#free();
  }

  #free(): void {
    clearTimeout(this.#patience);
    this.#room?.resolve();
    this.#room = undefined;
  }
}
