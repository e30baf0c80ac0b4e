// The one SQLite database: WAL, so that a reader never waits, and a schema that is migrated by
// numbered steps. Synchronous: each statement takes microseconds.

import { DatabaseSync } from "node:sqlite";
import type { Collection, Records } from "./contract.ts";

/** Each step is run once, in order; user_version counts them. Never change one, add another. */
const MIGRATIONS = [
  `
  CREATE TABLE records (collection TEXT, key TEXT, value TEXT NOT NULL,
    PRIMARY KEY (collection, key)) WITHOUT ROWID;
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE layers (diff_id TEXT PRIMARY KEY, short_id TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, tar_size INTEGER NOT NULL, opaque_root INTEGER NOT NULL) WITHOUT ROWID;
  -- Compressed forms in which a layer came or went: what resume, push and one copy need.
  CREATE TABLE layer_blobs (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL,
    media_type TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX layer_blobs_by_diff_id ON layer_blobs (diff_id);
  CREATE TABLE images (id TEXT PRIMARY KEY, config BLOB NOT NULL, manifest_digest TEXT,
    manifest_type TEXT, manifest_size INTEGER, parent TEXT, created_at INTEGER NOT NULL)
    WITHOUT ROWID;
  -- Tags ("docker.io/library/a:1") and digests ("docker.io/library/a@sha256:…").
  CREATE TABLE image_names (name TEXT PRIMARY KEY, image_id TEXT NOT NULL,
    tagged_at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE inits (key TEXT PRIMARY KEY, short_id TEXT NOT NULL UNIQUE) WITHOUT ROWID;
  CREATE TABLE snapshots (id TEXT PRIMARY KEY, diff_ids TEXT NOT NULL, init TEXT NOT NULL,
    is_volatile INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  -- The boot in which a layer was unpacked, until it has reached the disk; then "".
  ALTER TABLE layers ADD COLUMN unsynced_boot TEXT NOT NULL DEFAULT '';
  `,
];

export class Database implements Records {
  readonly sql: DatabaseSync;
  #depth = 0;

  constructor(path: string) {
    this.sql = new DatabaseSync(path);
    this.sql.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    this.sql.exec("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;");
    this.#migrate();
  }

  #migrate(): void {
    const { user_version: done } = this.sql.prepare("PRAGMA user_version").get() as {
      user_version: number;
    };
    for (let step = done; step < MIGRATIONS.length; step++) {
      this.transaction(() => {
        this.sql.exec(MIGRATIONS[step]!);
        this.sql.exec(`PRAGMA user_version = ${step + 1}`);
      });
    }
  }

  /** A number that was never given before, as base 36 text. */
  nextShortId(): string {
    const row = this.sql
      .prepare(
        `INSERT INTO counters VALUES ('short_id', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value`,
      )
      .get() as { value: number };
    return row.value.toString(36);
  }

  collection<T>(name: string): Collection<T> {
    const { sql } = this;
    const get = sql.prepare("SELECT value FROM records WHERE collection = ? AND key = ?");
    const put = sql.prepare("INSERT OR REPLACE INTO records VALUES (?, ?, ?)");
    const remove = sql.prepare("DELETE FROM records WHERE collection = ? AND key = ?");
    const all = sql.prepare("SELECT key, value FROM records WHERE collection = ? ORDER BY key");
    return {
      get(key) {
        const row = get.get(name, key) as { value: string } | undefined;
        return row && (JSON.parse(row.value) as T);
      },
      put: (key, value) => void put.run(name, key, JSON.stringify(value)),
      delete: (key) => void remove.run(name, key),
      all() {
        const rows = all.all(name) as { key: string; value: string }[];
        return rows.map(({ key, value }) => [key, JSON.parse(value) as T]);
      },
    };
  }

  /** Nested calls join the outermost transaction. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.sql.exec("BEGIN IMMEDIATE");
    this.#depth++;
    try {
      const result = work();
      this.sql.exec("COMMIT");
      return result;
    } catch (error) {
      this.sql.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  close(): void {
    this.sql.close();
  }
}
