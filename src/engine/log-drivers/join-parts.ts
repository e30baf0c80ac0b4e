// Long lines are in the local log in parts of 16 KiB; receivers that take larger events get them
// whole again. Pure.

import type { LogEntry } from "../logs/index.ts";

/** The lines of which all parts are there (or, with `flush`, all there are), and how many entries
 * they are made of: the rest waits for its other parts. No joined line is above `bytesMax`. */
export function joinParts(
  entries: readonly LogEntry[],
  { bytesMax, flush }: { bytesMax: number; flush: boolean },
): { joined: LogEntry[]; taken: number } {
  const taken = flush ? entries.length : wholeLines(entries);
  const joined: LogEntry[] = [];
  const open = new Map<string, { parts: LogEntry[]; bytes: number }>();
  const close = (id: string) => {
    const { parts = [] } = open.get(id) ?? {};
    open.delete(id);
    const [first] = parts;
    if (first) joined.push({ ...first, text: Buffer.concat(parts.map(({ text }) => text)) });
  };
  for (const entry of entries.slice(0, taken)) {
    const { partial, text } = entry;
    if (!partial) {
      joined.push(entry);
      continue;
    }
    if ((open.get(partial.id)?.bytes ?? 0) + text.length > bytesMax) close(partial.id);
    const line = open.get(partial.id) ?? { parts: [], bytes: 0 };
    line.parts.push(entry);
    line.bytes += text.length;
    open.set(partial.id, line);
    if (partial.last) close(partial.id);
  }
  for (const id of [...open.keys()]) close(id);
  return { joined, taken };
}

type Span = { first: number; end: number };

/** The longest beginning that cuts through no line. Parts of both streams may be interleaved. */
function wholeLines(entries: readonly LogEntry[]): number {
  const open = new Map<string, Span>();
  const lines: Span[] = [];
  for (const [index, { partial }] of entries.entries()) {
    if (!partial) continue;
    const line = open.get(partial.id) ?? { first: index, end: Number.POSITIVE_INFINITY };
    if (!open.has(partial.id)) lines.push(line);
    if (partial.last) line.end = index + 1;
    if (partial.last) open.delete(partial.id);
    else open.set(partial.id, line);
  }
  let cut = entries.length;
  for (let before = -1; before !== cut; ) {
    before = cut;
    for (const { first, end } of lines) if (first < cut && end > cut) cut = first;
  }
  return cut;
}
