// Trees on their way out. Taking one away is a rename, after which nobody finds it; its files are
// deleted in the background, all that wait with one plan, so that removing an image of many layers
// does not wait for the disk. What a crash leaves here goes at the next boot.

import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, type Logger } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import type { StoragePaths } from "./storage-paths.ts";

/** Millions of files on a slow disk. */
const REMOVAL_DEADLINE_MS = 3600 * 1000;

export class Trash {
  #native: Native;
  #paths: StoragePaths;
  #log: Logger;
  #waiting: string[] = [];
  #running: Promise<void> | undefined;
  #closing = new AbortController();

  constructor(native: Native, paths: StoragePaths, log: Logger) {
    this.#native = native;
    this.#paths = paths;
    this.#log = log;
  }

  /** Resolves when the tree is no longer where it was; a missing one is no error. */
  async take(path: string): Promise<void> {
    const doomed = this.#paths.trashEntry();
    try {
      await rename(path, doomed);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return;
    }
    this.#waiting.push(doomed);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      // Whoever takes several takes them all before the first plan is sent.
      await new Promise(setImmediate);
      while (this.#waiting.length > 0) await this.#delete(this.#waiting.splice(0));
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#log.warn("cannot delete what was removed; the next start tries again", { error });
    } finally {
      this.#running = undefined;
    }
  }

  async #delete(doomed: readonly string[]): Promise<void> {
    const host = doomed.map((path) => ({ op: "removeTree" as const, path, missingOk: true }));
    const plan = { host, deadlineMs: REMOVAL_DEADLINE_MS };
    await this.#native.run(plan, { signal: this.#closing.signal });
  }

  /** Resolves when everything that was taken has been deleted. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** At boot: what a crash has left. */
  async empty(): Promise<void> {
    await this.settled();
    const left = await readdir(this.#paths.trash);
    if (left.length > 0) await this.#delete(left.map((name) => join(this.#paths.trash, name)));
  }

  /** Whoever ends does not wait for the disk: the rest goes at the next boot. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.settled();
  }
}
