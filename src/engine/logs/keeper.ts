// Keeps logs small: compresses what was rotated, off the monitors' way, and holds all logs together
// within the host's budget. One file at a time; told by monitors of each rotation, never polling.
// The newest file of a log is its monitor's alone.

import { open, rename, unlink } from "node:fs/promises";
import { type Logger, messageOf } from "../../base/index.ts";
import type { LogInfo } from "./attributes.ts";
import { compressFile } from "./compressed.ts";
import { shippedGeneration } from "./entries.ts";
import { fileBytes, type Generation, generationPath, listGenerations } from "./generations.ts";
import { LogFile } from "./log-file.ts";
import { type LogPlace, logLimits, logPlace } from "./policy.ts";
import { Readers } from "./readers.ts";

const TEMPORARY = ".tmp";
/** Between two rotations, other logs grow too; how often all are measured, at most. */
const MEASURE_MS = 60_000;

export interface LogKeeperParts {
  /** Undefined for one that is no more. */
  find(id: string): LogInfo | undefined;
  ids(): string[];
  dirOf(id: string): string;
  /** All logs together; 0: as much as there is room for. */
  budgetBytes: number;
  log: Pick<Logger, "warn">;
  /** A file was removed because of the budget. */
  onTrim(c: LogInfo, trimmed: { file: string; bytes: number }): void;
}

interface Kept {
  bytes: number;
  /** Those that may go, oldest first. */
  removable: { path: string; bytes: number }[];
}

export class LogKeeper {
  readonly readers = new Readers();
  #parts: LogKeeperParts;
  #kept = new Map<string, Kept>();
  #waiting = new Set<string>();
  #running: Promise<void> | undefined;
  #closing = new AbortController();
  #measuredAt = Number.NEGATIVE_INFINITY;

  constructor(parts: LogKeeperParts) {
    this.#parts = parts;
  }

  /** The log of a container has changed its files: soon they are looked after. */
  tidy(id: string): void {
    if (this.#closing.signal.aborted) return;
    this.#waiting.add(id);
    this.#running ??= this.#work();
  }

  /** The container is removed, and its log with it. */
  forget(id: string): void {
    this.#waiting.delete(id);
    this.#kept.delete(id);
  }

  /** As of the last rotations. */
  usage(): { bytes: number; budgetBytes: number } {
    let bytes = 0;
    for (const kept of this.#kept.values()) bytes += kept.bytes;
    return { bytes, budgetBytes: this.#parts.budgetBytes };
  }

  /** Resolves when there is nothing left to do. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async close(): Promise<void> {
    this.#waiting.clear();
    this.#closing.abort();
    await this.#running;
  }

  async #work(): Promise<void> {
    for (const id of this.#waiting) {
      this.#waiting.delete(id);
      try {
        await this.#tidyOne(id, { compressing: true });
        await this.#measureOthers();
        await this.#holdBudget();
      } catch (error) {
        if (this.#closing.signal.aborted) break;
        // Tried again at its next rotation: a full disk, a file that went meanwhile.
        this.#parts.log.warn("Failed to tidy the log of a container", {
          id,
          error: messageOf(error),
        });
      }
    }
    this.#running = undefined;
  }

  async #measureOthers(): Promise<void> {
    if (this.#parts.budgetBytes === 0 || performance.now() < this.#measuredAt + MEASURE_MS) return;
    this.#measuredAt = performance.now();
    for (const id of this.#parts.ids()) {
      if (this.#closing.signal.aborted) return;
      await this.#tidyOne(id, { compressing: false });
    }
  }

  async #tidyOne(id: string, { compressing }: { compressing: boolean }): Promise<void> {
    const c = this.#parts.find(id);
    const place = c && logPlace(c, this.#parts.dirOf(id));
    if (!c || !place) return;
    const { maxFiles, compress } = limitsOf(c);
    const generations = await listGenerations(place.path);
    const newest = generations.at(-1)?.number ?? 0;
    const kept: Kept = { bytes: 0, removable: [] };
    const shipped = place.remote ? await shippedGeneration(place.path) : newest;
    for (const generation of generations) {
      const { number } = generation;
      const isDone = number < newest && number < shipped;
      if (isDone && number <= newest - maxFiles) {
        await removeGeneration(place.path, generation);
        continue;
      }
      let path = generation.path;
      if (compressing && isDone && compress && !generation.compressed && number > 0) {
        path = (await this.#compress(place, generation)) ?? path;
      }
      const bytes = await fileBytes(path);
      kept.bytes += bytes;
      if (isDone) kept.removable.push({ path, bytes });
    }
    if (this.#parts.find(id)) this.#kept.set(id, kept);
  }

  /** Returns the compressed file's path; undefined where the plain one is gone meanwhile. */
  async #compress(place: LogPlace, generation: Generation): Promise<string | undefined> {
    const target = `${generation.path}.zst`;
    const temporary = `${target}${TEMPORARY}`;
    await using source = await LogFile.open(generation, place.binary);
    if (!source) return undefined;
    try {
      await using file = await open(temporary, "w", 0o640);
      const binary = source.format.name === "binary";
      const pause = this.readers.pauses();
      const { signal } = this.#closing;
      await compressFile(source.handle, file, { binary, signal, pause: () => pause(signal) });
      // Whoever finds the name finds the content, also after a crash of the machine.
      await file.sync();
      await rename(temporary, target);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw error;
    }
    try {
      await unlink(generation.path);
      return target;
    } catch {
      // The monitor has removed it: then it is too old compressed, too.
      await unlink(target).catch(() => {});
      return undefined;
    }
  }

  async #holdBudget(): Promise<void> {
    const { budgetBytes, find, onTrim } = this.#parts;
    while (budgetBytes > 0 && this.usage().bytes > budgetBytes) {
      const [id, kept] = this.#largest() ?? [];
      const oldest = kept?.removable.shift();
      if (!id || !kept || !oldest) return;
      await unlink(oldest.path).catch(() => {});
      kept.bytes -= oldest.bytes;
      const c = find(id);
      if (c) onTrim(c, { file: oldest.path, bytes: oldest.bytes });
    }
  }

  /** Of the logs that have a file to give. */
  #largest(): [string, Kept] | undefined {
    let largest: [string, Kept] | undefined;
    for (const entry of this.#kept) {
      if (entry[1].removable.length === 0) continue;
      if (!largest || entry[1].bytes > largest[1].bytes) largest = entry;
    }
    return largest;
  }
}

function limitsOf(c: LogInfo): { maxFiles: number; compress: boolean } {
  try {
    return logLimits(c);
  } catch {
    return { maxFiles: Number.MAX_SAFE_INTEGER, compress: false }; // it never started
  }
}

async function removeGeneration(path: string, generation: Generation): Promise<void> {
  const { number } = generation;
  const plain = number > 0 ? generationPath(path, number) : generation.path;
  for (const file of [plain, `${plain}.zst`, `${plain}.zst${TEMPORARY}`]) {
    await unlink(file).catch(() => {});
  }
}
