// How far a transfer of bytes is, on one line of a terminal: for archives that go between the
// daemon and files. Nothing is shown elsewhere, nor of what is over at once; the line is gone at
// the end.

import { humanSize } from "../../base/index.ts";
import type { Output } from "../io.ts";

const PATIENCE_MS = 300;
const REFRESH_MS = 100;
const BAR_COLUMNS = 30;
const ERASE = "\r\x1b[2K";

export interface Transfer {
  /** "Saving", "Copying to container": what is under way. */
  verb: string;
  /** Bytes that there will be, where it is known. */
  total?: number | undefined;
}

/** Passes the bytes on as they are. */
export async function* shown(
  out: Output,
  source: AsyncIterable<Uint8Array>,
  { verb, total }: Transfer,
): AsyncGenerator<Buffer, void, void> {
  if (!out.isTerminal) {
    yield* source as AsyncIterable<Buffer>;
    return;
  }
  const started = performance.now();
  let last = started + PATIENCE_MS - REFRESH_MS;
  let bytes = 0;
  let isDrawn = false;
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      const now = performance.now();
      if (now - last >= REFRESH_MS) {
        const seconds = (now - started) / 1000;
        out.write(`${ERASE}${transferLine({ verb, total, bytes, seconds }, out.columns())}`);
        isDrawn = true;
        last = now;
      }
      yield chunk as Buffer;
    }
  } finally {
    if (isDrawn) out.write(ERASE);
  }
}

/** "Saving [=====>      ]  12MB / 30MB  4MB/s  5 s left", or without what is not known. */
export function transferLine(
  { verb, total, bytes, seconds }: Transfer & { bytes: number; seconds: number },
  columns = 80,
): string {
  const perSecond = seconds > 0 ? bytes / seconds : 0;
  const rate = `${humanSize(Math.round(perSecond), 3)}/s`;
  if (!total || bytes > total) return cut(`${verb} ${humanSize(bytes, 3)}  ${rate}`, columns);
  const left = perSecond > 0 ? `  ${Math.ceil((total - bytes) / perSecond)} s left` : "";
  const numbers = `${humanSize(bytes, 3)} / ${humanSize(total, 3)}  ${rate}${left}`;
  const room = Math.min(BAR_COLUMNS, columns - verb.length - numbers.length - 6);
  if (room < 5) return cut(`${verb} ${numbers}`, columns);
  return `${verb} ${progressBar(bytes / total, room)}  ${numbers}`;
}

/** "[====>    ]", `columns` wide within. */
export function progressBar(share: number, columns: number): string {
  const filled = Math.floor(share * columns);
  return `[${`${"=".repeat(filled)}>`.padEnd(columns).slice(0, columns)}]`;
}

function cut(text: string, columns: number): string {
  return text.slice(0, Math.max(0, columns - 1));
}
