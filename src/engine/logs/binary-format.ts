// The records that the monitor writes for driver `local` and for the cache of remote drivers (see
// native/monitor-log.h): any byte, at 20 bytes of overhead an entry.

import { type LogFormat, type LogTime, type RecordView, TIME_BYTES } from "./record.ts";

export const MAGIC = Buffer.from("GLOG1\n\0\0");
const HEAD_BYTES = 16;
const TAIL_BYTES = 4;
const FLAG_LAST = 8;
const FLAG_PART = 4;
const NANOSECONDS = 1_000_000_000n;

export const binaryFormat: LogFormat = {
  name: "binary",
  headBytes: MAGIC.length,
  read(block, at, end, view) {
    if (end - at < HEAD_BYTES + TAIL_BYTES) return "short";
    const length = block.readUInt32LE(at);
    const tail = at + HEAD_BYTES + length;
    if (tail + TAIL_BYTES > end) return "short";
    if (block.readUInt32LE(tail) !== HEAD_BYTES + length + TAIL_BYTES) return tear(end, view);
    const flags = block[at + 4]!;
    view.next = tail + TAIL_BYTES;
    view.stream = (flags & 3) === 2 ? 2 : 1;
    view.ended = (flags & FLAG_LAST) !== 0;
    view.ordinal = (flags & FLAG_PART) !== 0 ? block.readUInt16LE(at + 6) : 0;
    view.textStart = at + HEAD_BYTES;
    view.textEnd = tail;
    view.escaped = false;
    view.timeStart = at + 8;
    view.attrsStart = view.attrsEnd = 0;
    return "whole";
  },
  time,
  writeTime(block, view, out, at) {
    const { seconds, nanoseconds } = time(block, view);
    out.write(`${secondsText(seconds)}.`, at, "latin1");
    let left = nanoseconds;
    for (let digit = at + TIME_BYTES - 3; digit >= at + 20; digit--) {
      out[digit] = 48 + (left % 10);
      left = Math.floor(left / 10);
    }
    out[at + TIME_BYTES - 2] = 90;
    out[at + TIME_BYTES - 1] = 32;
    return at + TIME_BYTES;
  },
  before(block, end) {
    if (end < HEAD_BYTES + TAIL_BYTES) return -1;
    const start = end - block.readUInt32LE(end - TAIL_BYTES);
    return start < 0 ? -1 : start;
  },
};

/** Only the end of a file that its monitor did not finish is torn: nothing follows. */
function tear(end: number, view: RecordView): "torn" {
  view.next = end;
  return "torn";
}

function time(block: Buffer, view: RecordView): LogTime {
  const nano = block.readBigInt64LE(view.timeStart);
  const nanoseconds = Number(nano % NANOSECONDS);
  return { seconds: Number(nano / NANOSECONDS), nanoseconds };
}

let lastSeconds = Number.NaN;
let lastText = "";

function secondsText(seconds: number): string {
  if (seconds !== lastSeconds) {
    lastText = new Date(seconds * 1000).toISOString().slice(0, 19);
    lastSeconds = seconds;
  }
  return lastText;
}
