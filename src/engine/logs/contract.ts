// The joint between the local log, which a container's monitor always writes, and remote log
// drivers, which ship it. A driver reads entries from a cursor on and says how far it has shipped;
// the monitor keeps what is not shipped. Everything here holds also while the daemon is down.
//
// Files: each container has generations of a file: <path>.000001, .000002 … The one with the
// highest number is being written; rotated ones may be compressed to <path>.000001.zst with the
// same content. A generation's number is never given twice while any file of the log is there, and
// the newest is never removed before the container is. So (generation, offset in plain content)
// names a place for ever.

import type { Signal } from "../contract.ts";

/** What a container wrote: a line, or a part of at most 16 KiB of one. */
export interface LogEntry {
  stream: "stdout" | "stderr";
  /** Nanoseconds since the epoch. All parts of a line have the time of its first one. */
  timeNano: bigint;
  /** Without the newline. */
  text: Buffer;
  /** Of a line longer than 16 KiB (or cut off by the container's end): `id` is the same for all
   * its parts, also after a restart; `ordinal` counts from 1. */
  partial?: { id: string; ordinal: number; last: boolean };
  /** Chosen labels and variables, where the file holds them (json-file). A remote driver makes
   * its own from the container's record: `extraAttributes` in attributes.ts. */
  attrs?: Record<string, string>;
}

declare const cursorBrand: unique symbol;
/** A place between two entries, as text ("GENERATION:OFFSET"). Stable over rotation, compression
 * and restarts. */
export type LogCursor = string & { readonly [cursorBrand]: true };

export interface EntryBatch {
  /** Never empty. */
  entries: LogEntry[];
  /** The place after the last of them. */
  cursor: LogCursor;
  /** Entries right before this batch were dropped, for want of room (mode=non-blocking) or
   * because the file of `from` is gone. */
  gap?: true;
}

export interface ReadEntriesOptions extends Signal {
  /** Absent: from the oldest entry that is there. */
  from?: LogCursor;
  /** Goes on as the container writes, over rotation and restarts of the container, until `signal`
   * is aborted (then it ends, without throwing) or the log is removed. Without it, ends with what
   * is there now. */
  follow: boolean;
}

/** What the monitor keeps for a container whose log is shipped. */
export interface SpoolPolicy {
  /** Not shipped yet, at most: above it the container's output waits (blocking: its pipe stays
   * unread until there is room) or the oldest file is dropped and counted (non-blocking). */
  spoolBytesMax: number;
  blocking: boolean;
}

/**
 * A remote driver, as the local log's side sees it. `validate` throws GantryError("invalid") in
 * dockerd's words. Options that all drivers have (mode, max-buffer-size, cache-*) are checked
 * before and are not among `options`.
 */
export interface RemoteLogDriver {
  readonly name: string;
  validate(options: Readonly<Record<string, string>>): void;
}

// What the door (index.ts) gives to remote drivers:
//
//   readEntries(engine, container, options): AsyncIterable<EntryBatch>
//     Batches of up to about 256 KiB of file. A batch that is not asked for is not read.
//   markShipped(engine, containerId, cursor): Promise<void>
//     Everything before `cursor` is shipped: written to <path>.shipped (temporary name, rename;
//     no sync: after a crash of the machine a few entries may be shipped twice). The monitor
//     looks at it when its spool is full, and is woken by it. Call it after each acknowledged
//     batch, at most some times a second.
//   releaseShipped(engine, containerId, cursor): Promise<void>
//     Lets go of files before the cursor's, which readEntries holds by a second name so that the
//     monitor counts nothing as dropped that is shipped. Call it when the generation changes.
//   readShipped(engine, containerId): Promise<LogCursor | undefined>
//     Where to go on after a restart. Before the first mark: undefined, so from the oldest.
//
// The rule of retention. Of a container with a remote driver the monitor removes a file only if it
// is wholly shipped and beyond cache-max-file. Its spool (all that is not shipped) is at most
// cache-max-size × cache-max-file, never under SPOOL_BYTES_MIN. With cache-disabled, files that are
// shipped are removed by markShipped (but the newest), and `logs` says that reading is not
// supported. A container that is removed takes what is not shipped with it: drivers get the time
// of the container's stop (see stopped containers: readEntries without follow).
