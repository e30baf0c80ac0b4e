// The one SQLite database: WAL, so that a reader never waits, and a schema that is migrated by
// numbered steps. Synchronous: each statement takes microseconds. Beside it lies a ballast: on a
// full disk even the removal of a row needs a page, and removing is how people make room.

import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { GantryError, messageOf } from "../base/index.ts";
import { Ballast } from "./ballast.ts";
import type { Collection, Records } from "./contract.ts";

const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOT_A_DATABASE = 26;

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
  `
  -- 1: the blob's own bytes are in the content store.
  ALTER TABLE layer_blobs ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
  -- Repositories ("docker.io/library/alpine") that hold a layer's blob.
  CREATE TABLE blob_sources (digest TEXT, repository TEXT, noted_at INTEGER NOT NULL,
    PRIMARY KEY (digest, repository)) WITHOUT ROWID;
  -- Manifests and indexes by which an image came.
  CREATE TABLE image_documents (image_id TEXT, digest TEXT, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (image_id, digest)) WITHOUT ROWID;
  INSERT INTO image_documents SELECT id, manifest_digest, manifest_type, manifest_size
    FROM images WHERE manifest_digest IS NOT NULL;
  -- Layers of a pull that was interrupted: kept so long (milliseconds), image or not.
  CREATE TABLE layer_holds (diff_id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `
  -- How a snapshot's size is limited, as JSON; "" where it is not.
  ALTER TABLE snapshots ADD COLUMN size_limit TEXT NOT NULL DEFAULT '';
  `,
  `
  -- The index that a name of an image stands for; "": the image alone.
  ALTER TABLE image_names ADD COLUMN index_digest TEXT NOT NULL DEFAULT '';
  `,
  `
  -- The index by which a pull found the image that has the name; "": by none.
  ALTER TABLE image_names ADD COLUMN origin_digest TEXT NOT NULL DEFAULT '';
  `,
];

/** Says in words of ours, and of one kind, that the disk is full or takes no writes. */
class Sql extends DatabaseSync {
  #path: string;

  constructor(path: string) {
    super(path);
    this.#path = path;
  }

  override exec(sql: string): void {
    namingFull(this.#path, () => super.exec(sql));
  }

  override prepare(sql: string): StatementSync {
    const path = this.#path;
    const statement = namingFull(path, () => super.prepare(sql));
    const run = statement.run.bind(statement) as StatementSync["run"];
    const get = statement.get.bind(statement) as StatementSync["get"];
    const all = statement.all.bind(statement) as StatementSync["all"];
    statement.run = ((...values: never[]) => namingFull(path, () => run(...values))) as typeof run;
    statement.get = ((...values: never[]) => namingFull(path, () => get(...values))) as typeof get;
    statement.all = ((...values: never[]) => namingFull(path, () => all(...values))) as typeof all;
    return statement;
  }
}

function namingFull<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const code = codeOf(cause);
    const folder = dirname(path);
    if (code === SQLITE_FULL) {
      const message = `No space left on device: free some on the data root ${folder}`;
      throw new GantryError("exhausted", message, { cause, detail: { errno: "ENOSPC" } });
    }
    if (code === SQLITE_READONLY) {
      const message = `the data root ${folder} is read-only: mount it writable again (see dmesg)`;
      throw new GantryError("internal", message, { cause, detail: { errno: "EROFS" } });
    }
    if (code !== SQLITE_IOERR) throw cause;
    const message = `input/output error in the data root ${folder}: see dmesg (${messageOf(cause)})`;
    throw new GantryError("internal", message, { cause, detail: { errno: "EIO" } });
  }
}

/** The primary result code: the low byte of an extended one. */
function codeOf(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff;
}

export class Database implements Records {
  readonly sql: DatabaseSync;
  #ballast: Ballast;
  #depth = 0;

  constructor(path: string) {
    this.#ballast = new Ballast(`${path}-ballast`);
    try {
      this.sql = this.#open(path);
      this.free(() => this.#migrate());
    } catch (cause) {
      const code = codeOf(cause);
      if (![SQLITE_CORRUPT, SQLITE_NOT_A_DATABASE].includes(code)) throw cause;
      const remedy = "restore it, or use another data root";
      const message = `${path} is damaged (${messageOf(cause)}): ${remedy}`;
      throw new GantryError("corrupt", message, { cause });
    }
    this.#ballast.keep();
  }

  #open(path: string): DatabaseSync {
    const open = () => {
      const sql = new Sql(path);
      try {
        sql.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
        sql.exec("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;");
        return sql;
      } catch (error) {
        sql.close();
        throw error;
      }
    };
    for (;;) {
      try {
        return open();
      } catch (error) {
        // Opening makes files. A disk without room for them fails in more ways than one.
        const code = codeOf(error instanceof GantryError ? error.cause : error);
        const maybeFull = [SQLITE_FULL, SQLITE_IOERR, SQLITE_CANTOPEN].includes(code);
        if (!maybeFull || !this.#ballast.letGo()) throw error;
      }
    }
  }

  /** For work that removes rows, or writes what has happened already: succeeds on a full disk.
   * Must do no harm when done twice. */
  free<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    for (let isFirst = true; ; isFirst = false) {
      try {
        const result = work();
        this.#ballast.keep();
        return result;
      } catch (error) {
        if (!(error instanceof GantryError && error.kind === "exhausted")) throw error;
        const isEmpty = this.#emptyLog();
        if (isFirst && isEmpty) continue;
        if (!this.#ballast.letGo()) throw error;
      }
    }
  }

  /** Brings the write-ahead log into the database, so that it is written from its beginning again,
   * where it has its room already. */
  #emptyLog(): boolean {
    try {
      const done = this.sql.prepare("PRAGMA wal_checkpoint(RESTART)").get();
      return done?.["busy"] === 0;
    } catch {
      return false;
    }
  }

  #migrate(): void {
    const { user_version: done } = this.sql.prepare("PRAGMA user_version").get() as {
      user_version: number;
    };
    if (done > MIGRATIONS.length) {
      throw new GantryError(
        "invalid",
        `the data root was written by a newer version (schema ${done}, this one knows ` +
          `${MIGRATIONS.length}): use that version, or another --data-root`,
      );
    }
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
      putFact: (key, value) => void this.free(() => put.run(name, key, JSON.stringify(value))),
      delete: (key) => void this.free(() => remove.run(name, key)),
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
      // A full disk rolls back by itself.
      if (this.sql.isTransaction) this.sql.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  close(): void {
    this.sql.close();
  }
}
