// Logs as the monitor writes them, made in tests.

import { MAGIC } from "./binary-format.ts";

export interface JsonLine {
  log: string;
  stream?: string;
  attrs?: Record<string, string>;
  time?: string;
}

export function jsonLines(lines: readonly JsonLine[]): Buffer {
  const texts = lines.map(({ log, stream = "stdout", attrs, time = "2024-01-02T03:04:05.5Z" }) =>
    JSON.stringify({ log, stream, ...(attrs && { attrs }), time }),
  );
  return Buffer.from(texts.map((text) => `${text}\n`).join(""));
}

export interface BinaryRecord {
  text: string | Buffer;
  stream?: number;
  ended?: boolean;
  ordinal?: number;
  nano?: bigint;
}

/** Records without the head of a file. */
export function records(list: readonly BinaryRecord[]): Buffer {
  return Buffer.concat(list.map(record));
}

function record({ text, stream = 1, ended = true, ordinal = 0, nano = 1n }: BinaryRecord): Buffer {
  const bytes = Buffer.from(text as string);
  const out = Buffer.alloc(20 + bytes.length);
  out.writeUInt32LE(bytes.length, 0);
  out.writeUInt8(stream | (ordinal > 0 ? 4 : 0) | (ended ? 8 : 0), 4);
  out.writeUInt16LE(ordinal, 6);
  out.writeBigInt64LE(nano, 8);
  bytes.copy(out, 16);
  out.writeUInt32LE(out.length, 16 + bytes.length);
  return out;
}

export const binaryFile = (list: readonly BinaryRecord[]): Buffer =>
  Buffer.concat([MAGIC, records(list)]);
