// What a build told, kept on disk for whoever asks later: one file a build, JSON lines, compressed.
// Output is bytes, so it is written as base64.

import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { digestOf, hexOf } from "../../spec/index.ts";
import type { BuildEvent } from "./job.ts";

const NAME_DIGITS = 32;
/** A file that says more was not written by us. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;

export class HistoryLogs {
  readonly #folder: string;
  /** Those that are being written. */
  readonly #fresh = new Map<string, readonly BuildEvent[]>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Readable from now on; on disk when this resolves, though not synced: it is only a log. */
  async write(ref: string, events: readonly BuildEvent[]): Promise<void> {
    this.#fresh.set(ref, events);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const text = events.map((event) => `${JSON.stringify(encoded(event))}\n`).join("");
      const path = this.#path(ref);
      await writeFile(`${path}.tmp`, await promisify(gzip)(text), { mode: 0o600 });
      await rename(`${path}.tmp`, path);
    } finally {
      this.#fresh.delete(ref);
    }
  }

  /** Nothing where the log is gone or damaged. */
  async read(ref: string): Promise<readonly BuildEvent[]> {
    const fresh = this.#fresh.get(ref);
    if (fresh) return fresh;
    try {
      const packed = await readFile(this.#path(ref));
      const plain = await promisify(gunzip)(packed, { maxOutputLength: LOG_BYTES_MAX });
      const lines = plain.toString("utf8").split("\n");
      return lines.filter((line) => line !== "").map((line) => decoded(JSON.parse(line)));
    } catch {
      return [];
    }
  }

  async remove(ref: string): Promise<void> {
    await rm(this.#path(ref), { force: true });
  }

  /** A ref is a client's text, so it is no file's name. */
  #path(ref: string): string {
    return join(this.#folder, `${hexOf(digestOf(ref)).slice(0, NAME_DIGITS)}.jsonl.gz`);
  }
}

function encoded(event: BuildEvent): object {
  if (event.kind === "log") return { ...event, bytes: base64(event.bytes) };
  if (event.kind !== "warning" || event.warning.source === undefined) return event;
  const { source } = event.warning;
  const warning = { ...event.warning, source: { ...source, text: base64(source.text) } };
  return { kind: "warning", warning };
}

function decoded(value: BuildEvent): BuildEvent {
  if (value.kind === "log") return { ...value, bytes: bytesOf(value.bytes) };
  if (value.kind !== "warning" || value.warning.source === undefined) return value;
  const { source } = value.warning;
  const warning = { ...value.warning, source: { ...source, text: bytesOf(source.text) } };
  return { kind: "warning", warning };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const bytesOf = (text: unknown): Uint8Array => Buffer.from(String(text), "base64");
