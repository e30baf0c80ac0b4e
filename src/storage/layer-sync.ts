// Brings unpacked layers to the disk, in the background: nothing is synced file by file, and nobody
// waits. A row says in which boot its layer was unpacked until a sync has followed; after a power
// cut (another boot id) such a layer is forgotten.
//
// A sync of a file system stops everybody's changes to it while its journal is written, for seconds
// where there is much to write. So it waits until no layer has come for a while: by then the kernel
// has written most of it by itself.

import type { Logger } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { ARCHIVE, O } from "./archive-flags.ts";
import type { Database } from "./database.ts";
import type { StoragePaths } from "./storage-paths.ts";

/** A slow disk with much to write may take minutes. */
const SYNC_DEADLINE_MS = 30 * 60 * 1000;
/** The kernel writes by itself what has been dirty for half a minute. */
const QUIET_MS = 30 * 1000;
/** Where layers keep coming. */
const LATE_MS = 3 * 60 * 1000;

export class LayerSync {
  #native: Native;
  #paths: StoragePaths;
  #database: Database;
  #log: Logger;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waitingSince: number | undefined;

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

  /** One sync for all layers that come before it is quiet for a while. */
  soon(): void {
    const now = Date.now();
    this.#waitingSince ??= now;
    clearTimeout(this.#timer);
    const waitMs = Math.min(QUIET_MS, Math.max(0, this.#waitingSince + LATE_MS - now));
    this.#timer = setTimeout(() => this.#start(), waitMs).unref();
  }

  /** One at a time: what comes meanwhile waits for the next. */
  #start(): void {
    clearTimeout(this.#timer);
    this.#waitingSince = undefined;
    if (this.#running !== undefined) this.soon();
    else {
      this.#running = this.#run()
        .catch((error) => this.#log.warn("cannot sync the layers", { error }))
        .finally(() => (this.#running = undefined));
    }
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
    const clear = (): void => {
      for (const { short_id } of waiting as { short_id: string }[]) done.run(short_id);
    };
    this.#database.free(() => this.#database.transaction(clear));
  }

  /** Syncs what waits, at once; resolves when nothing does. */
  async settled(): Promise<void> {
    await this.#running;
    if (this.#waitingSince !== undefined) this.#start();
    await this.#running;
  }
}
