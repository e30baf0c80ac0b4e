// Who did what, when, from where and with which outcome: one JSON line for each request. A request
// never waits for the disk: lines queue in memory up to a limit, one writer appends them in
// batches, and what does not fit is dropped and counted; the count is itself a line as soon as
// there is room.

import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type Logger, silentLogger } from "../../base/index.ts";
import type { Observer, RegistryEvent, RequestSummary } from "../contract.ts";
import type { AuditOptions } from "./options.ts";

const batchLinesMax = 1000;
const fieldCharsMax = 512;
const retryMs = 1000;

export interface AuditLog extends Observer {
  finished(summary: RequestSummary): void;
  /** Opens the file anew, after somebody else has moved it away (SIGHUP). */
  reopen(): Promise<void>;
  /** Lines lost so far. */
  readonly dropped: number;
  /** Writes what is queued. */
  close(): Promise<void>;
}

/** Throws when the file cannot be opened. */
export async function createAuditLog(
  options: AuditOptions,
  { logger = silentLogger }: { logger?: Logger } = {},
): Promise<AuditLog> {
  await mkdir(dirname(options.file), { recursive: true });
  const writer = new LineFile(options, logger);
  await writer.open();
  // What happened (an event) comes before the end of its request, and belongs into its line.
  const events = new Map<string, RegistryEvent>();
  return {
    event(event) {
      if (events.size >= 10_000) events.clear(); // requests that never finished
      events.set(event.request.id, event);
    },
    finished(summary) {
      const event = events.get(summary.request.id);
      events.delete(summary.request.id);
      const reads = summary.request.method === "GET" || summary.request.method === "HEAD";
      if (options.what === "changes" && reads && summary.status < 400) return;
      writer.add(JSON.stringify(auditLine(summary, event)));
    },
    reopen: () => writer.reopen(),
    get dropped() {
      return writer.dropped;
    },
    close: () => writer.close(),
  };
}

function auditLine(summary: RequestSummary, event: RegistryEvent | undefined) {
  const { request } = summary;
  return {
    time: new Date().toISOString(),
    id: request.id,
    user: clip(summary.subject),
    address: request.remoteAddress,
    ...(request.clientCertificate && { certificate: clip(request.clientCertificate) }),
    method: request.method,
    // Without the query: it may carry what is secret.
    path: clip(request.url.pathname),
    route: summary.route,
    status: summary.status,
    outcome: outcome(summary.status),
    ...(summary.errorCode !== undefined && { error: summary.errorCode }),
    ...(event && {
      action: event.action,
      repository: event.repository,
      digest: event.target.digest,
      ...(event.target.tag !== undefined && { tag: event.target.tag }),
      ...(event.target.from !== undefined && { from: event.target.from }),
    }),
    bytesIn: summary.bytesIn,
    bytesOut: summary.bytesOut,
    seconds: Number(summary.seconds.toFixed(6)),
    agent: clip(request.userAgent),
  };
}

function outcome(status: number): "ok" | "denied" | "limited" | "refused" | "failed" {
  if (status < 400) return "ok";
  if (status === 401 || status === 403) return "denied";
  if (status === 429) return "limited";
  return status < 500 ? "refused" : "failed";
}

function clip(text: string): string {
  return text.length > fieldCharsMax ? `${text.slice(0, fieldCharsMax)}…` : text;
}

class LineFile {
  dropped = 0;
  readonly #options: AuditOptions;
  readonly #rotateBytes: number;
  readonly #linesMax: number;
  readonly #logger: Logger;
  #file: FileHandle | undefined;
  #size = 0;
  #lines: string[] = [];
  #reported = 0;
  #writing: Promise<void> | undefined;
  #wantsReopen = false;
  #closed = false;
  #failing = false;

  constructor(options: AuditOptions, logger: Logger) {
    this.#options = options;
    this.#rotateBytes = options.rotateBytes ?? 64 * 1024 * 1024;
    this.#linesMax = options.queueLinesMax ?? 10_000;
    this.#logger = logger;
  }

  async open(): Promise<void> {
    const file = await open(this.#options.file, "a", 0o600);
    this.#size = (await file.stat()).size;
    await this.#file?.close();
    this.#file = file;
  }

  add(line: string): void {
    if (this.#closed || this.#lines.length >= this.#linesMax) {
      this.dropped++;
      return;
    }
    this.#lines.push(line);
    this.#write();
  }

  async reopen(): Promise<void> {
    this.#wantsReopen = true;
    await this.#write();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#write();
    await this.#file?.close();
    this.#file = undefined;
  }

  /** One writer at a time; it goes on until nothing is queued. */
  #write(): Promise<void> {
    return (this.#writing ??= this.#drain());
  }

  async #drain(): Promise<void> {
    await null; // what is added in this turn goes along
    while (this.#lines.length > 0 || this.#wantsReopen) {
      try {
        await this.#step();
        this.#failing = false;
      } catch (error) {
        if (!this.#failing) this.#logger.error("Cannot write the audit log", { error });
        this.#failing = true;
        if (this.#closed) {
          this.dropped += this.#lines.length;
          this.#lines = [];
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref());
      }
    }
    this.#writing = undefined; // in the same turn as the look at the queue
  }

  async #step(): Promise<void> {
    if (this.#wantsReopen) {
      await this.open();
      this.#wantsReopen = false;
    }
    const batch = this.#lines.slice(0, batchLinesMax);
    const lost = this.dropped - this.#reported;
    if (lost > 0) batch.push(JSON.stringify({ time: new Date().toISOString(), dropped: lost }));
    if (batch.length === 0) return;
    const bytes = Buffer.from(`${batch.join("\n")}\n`);
    if (this.#rotateBytes && this.#size > 0 && this.#size + bytes.length > this.#rotateBytes) {
      await this.#rotate();
    }
    await this.#file!.appendFile(bytes);
    this.#size += bytes.length;
    this.#reported += lost;
    this.#lines.splice(0, lost > 0 ? batch.length - 1 : batch.length);
  }

  async #rotate(): Promise<void> {
    const { file, keep = 5 } = this.#options;
    await rm(`${file}.${keep}`, { force: true });
    for (let number = keep - 1; number >= 1; number--) {
      await rename(`${file}.${number}`, `${file}.${number + 1}`).catch(ignoreMissing);
    }
    if (keep > 0) await rename(file, `${file}.1`);
    else await rm(file, { force: true });
    await this.open();
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
