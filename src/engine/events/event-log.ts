// Events on disk: a database of their own beneath the data root, so that they outlive the daemon,
// also one that is killed. What happens in one turn of the event loop is written in one go after
// it: no verb waits for the disk. Old events go by count and by age.

import { randomBytes } from "node:crypto";
import { renameSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Logger, messageOf } from "../../base/index.ts";
import type { Event } from "../contract.ts";
import { nowNanoseconds } from "../timestamps.ts";

export interface EventLimits {
  eventsMax: number;
  /** Nothing older is kept; 0 is no limit. */
  ageSecondsMax: number;
  /** What the events may take on disk, about. */
  bytesMax?: number;
}
/** An event and its number: one more than that of the event before. */
export interface NumberedEvent {
  sequence: number;
  event: Event;
}

export const EVENT_LIMITS: EventLimits = { eventsMax: 100_000, ageSecondsMax: 30 * 24 * 3600 };

/** How many events are written between two looks at what is too old. */
const TRIM_EVERY_EVENTS = 512;
const BYTES_MAX = 256 * 1024 * 1024;
const NS_PER_SECOND = 1_000_000_000n;

const SQLITE_ERROR = 1; // another program's tables
const SQLITE_CORRUPT = 11;
const SQLITE_NOT_A_DATABASE = 26;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL, type TEXT NOT NULL, action TEXT NOT NULL, actor TEXT NOT NULL,
    attributes TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS events_by_time ON events (time);
`;

interface Row {
  sequence: bigint;
  time: bigint;
  type: string;
  action: string;
  actor: string;
  attributes: string;
}

const codeOf = (error: unknown): number => ((error as { errcode?: number }).errcode ?? 0) & 0xff;

export class EventLog {
  /** Names this log: a cursor of another one means nothing here. */
  readonly id: string;
  readonly limits: EventLimits;
  #sql: DatabaseSync;
  #log: Logger;
  #pending: NumberedEvent[] = [];
  #timer: NodeJS.Immediate | undefined;
  #sinceTrim = 0;
  #complained = false;
  #insert: StatementSync;
  #read: StatementSync;

  /** Opens the log at `path`; one that is damaged is put aside, and a new one begun. Undefined
   * where the disk takes no writes: the daemon goes on without. */
  static open(path: string, limits: EventLimits, log: Logger): EventLog | undefined {
    try {
      return new EventLog(path, limits, log);
    } catch (error) {
      if (![SQLITE_CORRUPT, SQLITE_NOT_A_DATABASE, SQLITE_ERROR].includes(codeOf(error))) {
        const message = "Events are kept in memory only, until the daemon starts again";
        log.error(message, { path, error: messageOf(error) });
        return undefined;
      }
      log.warn("The log of events cannot be read, a new one is begun", { path, error });
      for (const suffix of ["", "-wal", "-shm"]) {
        try {
          renameSync(`${path}${suffix}`, `${path}.unreadable${suffix}`);
        } catch {
          // There is no such file.
        }
      }
      return new EventLog(path, limits, log);
    }
  }

  constructor(path: string, limits: EventLimits, log: Logger) {
    this.limits = limits;
    this.#log = log;
    this.#sql = new DatabaseSync(path);
    try {
      // Not synced: an event that a power cut takes has nobody who was promised it.
      this.#sql.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      this.#sql.exec(SCHEMA);
      this.#insert = this.#sql.prepare(
        "INSERT INTO events (sequence, time, type, action, actor, attributes) " +
          "VALUES (?, ?, ?, ?, ?, ?)",
      );
      this.#read = this.#sql.prepare(
        "SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?",
      );
      this.#read.setReadBigInts(true);
      this.id = this.#identity();
      this.trim();
    } catch (error) {
      this.#sql.close();
      throw error;
    }
  }

  #identity(): string {
    const known = this.#sql.prepare("SELECT value FROM facts WHERE name = 'id'").get();
    if (known !== undefined) return String(known["value"]);
    const id = randomBytes(4).toString("hex");
    this.#sql.prepare("INSERT INTO facts VALUES ('id', ?)").run(id);
    return id;
  }

  /** Number and time of the last event that was ever written; zeros where there was none. */
  last(): { sequence: number; time: bigint } {
    const number = this.#sql
      .prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
      .get()?.["seq"];
    const newest = this.#sql.prepare("SELECT max(time) AS time FROM events");
    newest.setReadBigInts(true);
    const time = newest.get()?.["time"] as bigint | null | undefined;
    return { sequence: Number(number ?? 0), time: time ?? 0n };
  }

  append(sequence: number, event: Event): void {
    this.#pending.push({ sequence, event });
    this.#timer ??= setImmediate(() => this.flush());
  }

  /** Writes what is pending. Never throws: a full disk must not keep a container from starting. */
  flush(): void {
    clearImmediate(this.#timer);
    this.#timer = undefined;
    const events = this.#pending;
    if (events.length === 0) return;
    this.#pending = [];
    try {
      this.#sql.exec("BEGIN");
      for (const { sequence, event } of events) this.#write(sequence, event);
      this.#sql.exec("COMMIT");
      this.#complained = false;
    } catch (error) {
      if (this.#sql.isTransaction) this.#sql.exec("ROLLBACK");
      if (!this.#complained) this.#log.error("Failed to write events", { error: messageOf(error) });
      this.#complained = true;
    }
    this.#sinceTrim += events.length;
    if (this.#sinceTrim >= TRIM_EVERY_EVENTS) this.trim();
  }

  #write(sequence: number, { timeNano, Type, Action, Actor }: Event): void {
    const attributes = JSON.stringify(Actor.Attributes);
    this.#insert.run(sequence, timeNano, Type, Action, Actor.ID, attributes);
  }

  /** Up to `limit` events behind a number. */
  read(after: number, limit: number): NumberedEvent[] {
    return (this.#read.all(after, limit) as unknown as Row[]).map((row) => ({
      sequence: Number(row.sequence),
      event: {
        Type: row.type,
        Action: row.action,
        Actor: { ID: row.actor, Attributes: JSON.parse(row.attributes) },
        scope: "local",
        time: Number(row.time / NS_PER_SECOND),
        timeNano: row.time,
      },
    }));
  }

  /** The number of the first event at or after a time, of those that are written. */
  firstSince(time: bigint): number | undefined {
    const sql = "SELECT min(sequence) AS first FROM events WHERE time >= ?";
    const first = this.#sql.prepare(sql).get(time)?.["first"];
    return typeof first === "number" ? first : undefined;
  }

  /** Forgets what is too old or too much. Never throws. */
  trim(): void {
    this.#sinceTrim = 0;
    const { eventsMax, ageSecondsMax } = this.limits;
    try {
      const last = this.last().sequence;
      this.#sql.prepare("DELETE FROM events WHERE sequence <= ?").run(last - eventsMax);
      this.#trimBytes(last);
      if (ageSecondsMax === 0) return;
      const oldest = nowNanoseconds() - BigInt(Math.round(ageSecondsMax * 1e9));
      this.#sql.prepare("DELETE FROM events WHERE time < ?").run(oldest);
    } catch (error) {
      this.#log.warn("Failed to remove old events", { error });
    }
  }

  /** Halves what there is until it is little enough. */
  #trimBytes(last: number): void {
    const oldest = this.#sql.prepare("SELECT min(sequence) AS first FROM events");
    while (this.#usedBytes() > (this.limits.bytesMax ?? BYTES_MAX)) {
      const first = Number(oldest.get()?.["first"] ?? last);
      if (first >= last) return;
      const middle = Math.floor((first + last) / 2);
      this.#sql.prepare("DELETE FROM events WHERE sequence <= ?").run(middle);
    }
  }

  #usedBytes(): number {
    const number = (name: string): number =>
      Number(this.#sql.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
    return (number("page_count") - number("freelist_count")) * number("page_size");
  }

  close(): void {
    this.flush();
    this.#sql.close();
  }
}
