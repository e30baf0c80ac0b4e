// Brings unpacked layers to the disk, in the background: nothing is synced file by file, and nobody
// waits. A row says in which boot its layer was unpacked until a sync has followed; after a power
// cut (another boot id) such a layer is forgotten.

import type { Logger } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { ARCHIVE, O } from "./archive-flags.ts";
import type { Database } from "./database.ts";
import type { StoragePaths } from "./storage-paths.ts";

/** A slow disk with much to write may take minutes. */
const SYNC_DEADLINE_MS = 30 * 60 * 1000;

export class LayerSync {
  #native: Native;
  #paths: StoragePaths;
  #database: Database;
  #log: Logger;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(native: Native, paths: StoragePaths, database: Database, log: Logger) {
    this.#native = native;
    this.#paths = paths;
    this.#database = database;
    this.#log = log;
  }

  /** Drops the rows of layers that were not on the disk yet when the power went. */
  forgetLost(bootId: string): void {
    const lost = this.#database.sql
      .prepare("DELETE FROM layers WHERE unsynced_boot NOT IN ('', ?) RETURNING diff_id")
      .all(bootId) as { diff_id: string }[];
    for (const { diff_id } of lost) {
      this.#log.warn("a layer had not reached the disk before the power cut", { diffId: diff_id });
    }
  }

  /** One sync at a time, for all that wait. */
  soon(): void {
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#run()
      .catch((error) => this.#log.warn("cannot sync the layers", { error }))
      .finally(() => {
        this.#running = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.soon();
      });
  }

  async #run(): Promise<void> {
    const { sql } = this.#database;
    const waiting = sql.prepare("SELECT short_id FROM layers WHERE unsynced_boot <> ''").all();
    // An empty archive, so that nothing but the sync at its end is done.
    await this.#native.run({
      host: [
        { op: "open", path: this.#paths.layers, flags: O.path | O.directory, to: 0 },
        { op: "open", path: "/dev/null", flags: O.rdonly, to: 1 },
        { op: "untar", root: 0, from: 1, flags: ARCHIVE.sync },
      ],
      deadlineMs: SYNC_DEADLINE_MS,
    });
    const done = sql.prepare("UPDATE layers SET unsynced_boot = '' WHERE short_id = ?");
    this.#database.transaction(() => {
      for (const { short_id } of waiting as { short_id: string }[]) done.run(short_id);
    });
  }

  /** Resolves when nothing waits for the disk. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }
}
