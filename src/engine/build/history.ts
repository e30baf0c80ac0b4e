// The builds that were, and those that run: who asked for what, how it ended, what came of it. A
// build is on record when it has ended; so many stay, the oldest go first, pinned ones last.

import { join } from "node:path";
import { GantryError, kindOf } from "../../base/index.ts";
import { digestOf, writePlatform } from "../../spec/index.ts";
import type { Collection } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { BuildHistory, BuildRecord, HistoryEvent } from "./contract.ts";
import { HistoryFiles } from "./history-files.ts";
import { decodeEvents, encodeEvents } from "./history-log.ts";
import type { BuildEvent, BuildJob, BuildOutcome } from "./job.ts";
import type { BuildReport } from "./report.ts";

const BUILDS_MAX = 100;
const PINNED_MAX = 1000;
const ATTRS_MAX = 500;
const ATTR_CHARS_MAX = 4096;
/** Events that a listener may leave unread; after that it is sent away. */
const UNREAD_MAX = 10_000;

interface Active {
  record: BuildRecord;
  report: BuildReport;
}

export class BuildRecords implements BuildHistory {
  readonly #records: Collection<BuildRecord>;
  readonly #active = new Map<string, Active>();
  readonly #listeners = new Set<Listener>();
  readonly #logs: HistoryFiles;
  readonly #statements: HistoryFiles;
  readonly #engine: EngineContext;
  readonly #afterwards: (work: Promise<void>) => void;

  constructor(engine: EngineContext, afterwards: (work: Promise<void>) => void) {
    const { storage, options } = engine;
    this.#engine = engine;
    this.#afterwards = afterwards;
    this.#records = storage.records.collection<BuildRecord>("build-history");
    const folder = join(options.dataRoot, "build-history");
    this.#logs = new HistoryFiles(folder, ".jsonl.gz");
    this.#statements = new HistoryFiles(folder, ".statements.json.gz");
  }

  begin(job: BuildJob, report: BuildReport): void {
    const record: BuildRecord = {
      ...{ ref: job.ref, name: nameOf(job), attrs: attrsOf(job), status: "running" },
      startedAtMs: Date.now(),
      ...report.counts(),
      ...{ images: {}, metadata: {}, materials: [], pinned: false },
    };
    this.#active.set(job.ref, { record, report });
    this.#announce({ kind: "started", record });
  }

  /** The build has ended; `report` tells nothing more. */
  finish(ref: string, result: { outcome: BuildOutcome } | { error: unknown }): void {
    const { record: begun, report } = this.#active.get(ref)!;
    const record = {
      ...begun,
      ...report.counts(),
      ...("outcome" in result ? success(result.outcome) : failure(result.error)),
      completedAtMs: Date.now(),
    };
    const { log } = this.#engine;
    this.#active.delete(ref);
    try {
      this.#records.put(ref, record);
    } catch (error) {
      log.warn("Cannot keep the record of a build", { ref, error }); // a full disk: no build's fault
    }
    const kept = "outcome" in result ? result.outcome.statements : [];
    const texts = kept.map(({ about, text }) => [about.digest, text]);
    const written = [
      this.#logs.write(ref, encodeEvents(report.events())),
      ...(kept.length > 0
        ? [this.#statements.write(ref, JSON.stringify(Object.fromEntries(texts)))]
        : []),
    ];
    this.#afterwards(
      Promise.all(written)
        .then(() => this.#trim())
        .catch((error) => log.warn("Cannot keep what a build told", { ref, error })),
    );
    this.#announce({ kind: "complete", record });
  }

  list(): BuildRecord[] {
    const active = [...this.#active.values()].map(current);
    const ended = this.#records.all().map(([, record]) => record);
    return [...active, ...ended].sort((a, b) => b.startedAtMs - a.startedAtMs);
  }

  get(ref: string): BuildRecord | undefined {
    const active = this.#active.get(ref);
    return active ? current(active) : this.#records.get(ref);
  }

  /** What a build that has ended told; undefined when it is not known. */
  async events(ref: string): Promise<readonly BuildEvent[] | undefined> {
    return this.#records.get(ref) && decodeEvents((await this.#logs.read(ref)) ?? "");
  }

  async statement(digest: string): Promise<string | undefined> {
    for (const [ref, { statements = [] }] of this.#records.all()) {
      if (!statements.some((one) => one.digest === digest)) continue;
      const texts = await this.#statements.read(ref);
      const text = texts && (JSON.parse(texts) as Record<string, string>)[digest];
      if (text !== undefined && digestOf(text) === digest) return text;
    }
    return undefined;
  }

  async remove(ref: string): Promise<void> {
    const record = this.#records.get(ref);
    if (this.#active.has(ref)) throw new GantryError("conflict", `the build ${ref} is running`);
    if (!record) throw new GantryError("not-found", `no build ${ref} in the history`);
    this.#records.delete(ref);
    await Promise.all([this.#logs.remove(ref), this.#statements.remove(ref)]);
    this.#announce({ kind: "deleted", record });
  }

  pin(ref: string, pinned: boolean): void {
    const record = this.#records.get(ref);
    if (!record) throw new GantryError("not-found", `no build ${ref} in the history`);
    this.#records.put(ref, { ...record, pinned });
    this.#announce({ kind: "complete", record: { ...record, pinned } });
  }

  async *listen(
    o: { signal?: AbortSignal; activeOnly?: boolean; once?: boolean } = {},
  ): AsyncGenerator<HistoryEvent> {
    const { signal: closing } = this.#engine.closing;
    const signal = o.signal ? AbortSignal.any([o.signal, closing]) : closing;
    const listener = new Listener(signal);
    for (const record of this.list().reverse()) {
      const isActive = record.status === "running";
      if (isActive || !o.activeOnly) {
        listener.push({ kind: isActive ? "started" : "complete", record });
      }
    }
    if (o.once) listener.end();
    else this.#listeners.add(listener);
    try {
      yield* listener.events();
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #announce(event: HistoryEvent): void {
    for (const listener of this.#listeners) listener.push(event);
  }

  async #trim(): Promise<void> {
    const ended = this.#records.all().map(([, record]) => record);
    const newest = ended.sort((a, b) => b.startedAtMs - a.startedAtMs);
    const spare = newest.filter(({ pinned }) => !pinned).slice(BUILDS_MAX);
    const pinned = newest.filter((record) => record.pinned).slice(PINNED_MAX);
    for (const { ref } of [...spare, ...pinned]) await this.remove(ref);
  }
}

const current = ({ record, report }: Active): BuildRecord => ({ ...record, ...report.counts() });

function success({ images, metadata, statements }: BuildOutcome): Partial<BuildRecord> {
  const ids = images.map(({ platform, id }) => [writePlatform(platform), id]);
  const materials = new Map(
    images.flatMap((image) => image.materials.map((one) => [one.uri, one])),
  );
  return {
    ...{ status: "completed", images: Object.fromEntries(ids), metadata },
    materials: [...materials.values()],
    statements: statements.map(({ about }) => about),
  };
}

function failure(error: unknown): Partial<BuildRecord> {
  const message = error instanceof Error ? error.message : String(error);
  return { status: kindOf(error) === "cancelled" ? "cancelled" : "failed", error: message };
}

/** What people would call it: a tag, or the Dockerfile and its target. */
function nameOf(job: BuildJob): string {
  const named = job.outputs.flatMap(({ attrs }) => attrs["name"]?.split(",") ?? []);
  if (named[0]) return named[0];
  const { dockerfile, target } = job;
  const file = "text" in dockerfile ? dockerfile.name : dockerfile.path;
  return target ? `${file} (${target})` : file;
}

/** As BuildKit's frontend attributes; what is long is cut, since a hundred builds are kept. A user
 * and a password in an address (of a proxy, of a repository) are not for those who read this. */
export function attrsOf(
  job: Pick<BuildJob, "attrs" | "dockerfile" | "target" | "platforms" | "buildArgs">,
): Record<string, string> {
  const entries = Object.entries(job.attrs ?? askedAttrs(job)).slice(0, ATTRS_MAX);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, withoutUser(value).slice(0, ATTR_CHARS_MAX)]),
  );
}

/** An address without its user and password. */
export const withoutUser = (value: string): string =>
  value.replace(/^((?!ssh:)[a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1");

function askedAttrs(job: Parameters<typeof attrsOf>[0]): Record<string, string> {
  const { dockerfile, target, platforms, buildArgs } = job;
  const given = Object.entries(buildArgs).map(([name, value]) => [`build-arg:${name}`, value]);
  return {
    filename: "text" in dockerfile ? dockerfile.name : dockerfile.path,
    ...(target && { target }),
    ...(platforms.length > 0 && { platform: platforms.map(writePlatform).join(",") }),
    ...Object.fromEntries(given),
  };
}

/** One who is told; one that does not read is let go. */
class Listener {
  #queue: HistoryEvent[] = [];
  #news = Promise.withResolvers<void>();
  #isOver = false;
  readonly #signal: AbortSignal | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  push(event: HistoryEvent): void {
    if (this.#queue.length >= UNREAD_MAX) this.end();
    if (this.#isOver) return;
    this.#queue.push(event);
    this.#news.resolve();
  }

  end(): void {
    this.#isOver = true;
    this.#news.resolve();
  }

  async *events(): AsyncGenerator<HistoryEvent> {
    const wake = () => this.#news.resolve();
    this.#signal?.addEventListener("abort", wake, { once: true });
    try {
      while (!this.#signal?.aborted) {
        yield* this.#queue.splice(0);
        if (this.#queue.length > 0) continue;
        if (this.#isOver) return;
        await this.#news.promise;
        this.#news = Promise.withResolvers();
      }
    } finally {
      this.#signal?.removeEventListener("abort", wake);
    }
  }
}
