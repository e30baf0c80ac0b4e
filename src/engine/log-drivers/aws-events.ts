// What CloudWatch Logs takes in one call, and which lines make one event. Pure.

import type { LogEntry } from "../logs/index.ts";
import { joinParts } from "./join-parts.ts";

/** Each event counts as so many bytes more than its text. */
const EVENT_OVERHEAD_BYTES = 26;
export const EVENT_BYTES_MAX = 262_144 - EVENT_OVERHEAD_BYTES;
const CALL_BYTES_MAX = 1_048_576;
export const CALL_EVENTS_MAX = 10_000;
/** A call must not span more than this. */
const CALL_SPAN_MS = 24 * 60 * 60 * 1000;

export interface AwsEvent {
  timestamp: number;
  message: string;
}

const STRFTIME: Record<string, string> = {
  "%a": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
  "%A": "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
  "%w": "[0-6]",
  "%d": "(?:0[1-9]|[12][0-9]|3[01])",
  "%b": "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
  "%B": "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
  "%m": "(?:0[1-9]|1[0-2])",
  "%Y": "\\d{4}",
  "%y": "\\d{2}",
  "%H": "(?:[01][0-9]|2[0-3])",
  "%I": "(?:0[0-9]|1[0-2])",
  "%p": "[AP]M",
  "%M": "[0-5][0-9]",
  "%S": "[0-5][0-9]",
  "%f": "\\d{6}",
  "%z": "[+-]\\d{4}",
  "%Z": "[A-Z]{1,4}T",
  "%j": "(?:0[0-9][1-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])",
  "%L": "\\.\\d{3}",
};

/** The pattern of awslogs-datetime-format, in which the rest of the text is a pattern, too. */
export function datetimePattern(format: string): string {
  return format.replace(/%./gs, (directive) => STRFTIME[directive] ?? "");
}

/** The events that entries make, and how many entries went into them. With `begins`, an event is
 * all lines up to the next that it says yes to; the last is open until `flush`. */
export function eventsOf(
  entries: readonly LogEntry[],
  o: { flush: boolean; begins?: ((entry: LogEntry) => boolean) | undefined },
): { events: AwsEvent[]; taken: number } {
  if (o.begins) return manyLines(entries, { flush: o.flush, begins: o.begins });
  const { joined, taken } = joinParts(entries, { bytesMax: EVENT_BYTES_MAX, flush: o.flush });
  return { events: joined.flatMap(({ timeNano, text }) => split(timeNano, text)), taken };
}

function manyLines(
  entries: readonly LogEntry[],
  { flush, begins }: { flush: boolean; begins: (entry: LogEntry) => boolean },
): { events: AwsEvent[]; taken: number } {
  const events: AwsEvent[] = [];
  let open: LogEntry[] = [];
  let bytes = 0;
  let taken = 0;
  const close = (before: number) => {
    if (open.length > 0) events.push(...split(open[0]!.timeNano, Buffer.concat(texts(open))));
    open = [];
    bytes = 0;
    taken = before;
  };
  for (const [index, entry] of entries.entries()) {
    const isStart = (entry.partial?.ordinal ?? 1) === 1 && begins(entry);
    if (isStart || bytes + entry.text.length > EVENT_BYTES_MAX) close(index);
    open.push(entry);
    bytes += entry.text.length + 1;
  }
  if (flush) close(entries.length);
  return { events, taken };
}

/** Parts of a line follow one another, lines end with a newline. */
function texts(entries: readonly LogEntry[]): Buffer[] {
  const newline = Buffer.from("\n");
  return entries.flatMap(({ text, partial }) =>
    partial && !partial.last ? [text] : [text, newline],
  );
}

function split(timeNano: bigint, text: Buffer): AwsEvent[] {
  const timestamp = Number(timeNano / 1_000_000n);
  const events: AwsEvent[] = [];
  for (let at = 0; at < text.length; ) {
    const end = wholeCharacters(text, at, Math.min(text.length, at + EVENT_BYTES_MAX));
    events.push({ timestamp, message: text.toString("utf8", at, end) });
    at = end;
  }
  return events;
}

/** `end`, or the beginning of the UTF-8 sequence that it would cut. */
function wholeCharacters(text: Buffer, start: number, end: number): number {
  if (end === text.length) return end;
  let at = end;
  while (at > start && at > end - 4 && (text[at]! & 0xc0) === 0x80) at--;
  return at > start ? at : end;
}

/** The first events that one call takes, in order of time. Bytes that are no UTF-8 become longer
 * than they were: what counts is the text that is sent. */
export function oneCall(events: readonly AwsEvent[]): AwsEvent[] {
  let bytes = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  let count = 0;
  for (const { timestamp, message } of events.slice(0, CALL_EVENTS_MAX)) {
    bytes += Buffer.byteLength(message) + EVENT_OVERHEAD_BYTES;
    first = Math.min(first, timestamp);
    last = Math.max(last, timestamp);
    if (count > 0 && (bytes > CALL_BYTES_MAX || last - first >= CALL_SPAN_MS)) break;
    count++;
  }
  return events.slice(0, count).sort((a, b) => a.timestamp - b.timestamp);
}
