// Fluentd's forward protocol (version 1): a batch of records as one MessagePack array, and the
// receiver's acknowledgement of it.

import { ExtData, encode } from "@msgpack/msgpack";
import type { LogEntry } from "../logs/index.ts";

const EVENT_TIME_TYPE = 0;
const NANO = 1_000_000_000n;

export type FluentRecord = Record<string, string>;

/** [tag, [[time, record] …], option]. With `chunk` the receiver answers {ack: chunk}. */
export function forwardMessage(
  tag: string,
  entries: readonly (readonly [time: ExtData | number, record: FluentRecord])[],
  chunk: string | undefined,
): Uint8Array {
  const option = { size: entries.length, ...(chunk !== undefined && { chunk }) };
  return encode([tag, entries, option]);
}

/** Whole seconds, or Fluentd's EventTime with nanoseconds. */
export function eventTime(timeNano: bigint, { precise }: { precise: boolean }): ExtData | number {
  if (!precise) return Number(timeNano / NANO);
  const data = Buffer.alloc(8);
  data.writeUInt32BE(Number((timeNano / NANO) & 0xffffffffn), 0);
  data.writeUInt32BE(Number(timeNano % NANO), 4);
  return new ExtData(EVENT_TIME_TYPE, data);
}

/** What dockerd's driver says of a part of a long line. */
export function partialFields({ partial }: LogEntry): FluentRecord {
  if (!partial) return {};
  return {
    partial_message: "true",
    partial_id: partial.id,
    partial_ordinal: String(partial.ordinal),
    partial_last: String(partial.last),
  };
}
