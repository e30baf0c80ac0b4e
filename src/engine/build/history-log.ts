// What a build told, as text for its file of the history: JSON lines. Output is bytes, so it is
// written as base64.

import type { BuildEvent } from "./job.ts";

export function encodeEvents(events: readonly BuildEvent[]): string {
  return events.map((event) => `${JSON.stringify(encoded(event))}\n`).join("");
}

/** Nothing where the text is damaged. */
export function decodeEvents(text: string): readonly BuildEvent[] {
  const lines = text.split("\n").filter((line) => line !== "");
  try {
    return lines.map((line) => decoded(JSON.parse(line)));
  } catch {
    return [];
  }
}

function encoded(event: BuildEvent): object {
  if (event.kind === "log") return { ...event, bytes: base64(event.bytes) };
  if (event.kind !== "warning" || event.warning.source === undefined) return event;
  const { source } = event.warning;
  const warning = { ...event.warning, source: { ...source, text: base64(source.text) } };
  return { kind: "warning", warning };
}

function decoded(value: BuildEvent): BuildEvent {
  if (value.kind === "log") return { ...value, bytes: bytesOf(value.bytes) };
  if (value.kind !== "warning" || value.warning.source === undefined) return value;
  const { source } = value.warning;
  const warning = { ...value.warning, source: { ...source, text: bytesOf(source.text) } };
  return { kind: "warning", warning };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const bytesOf = (text: unknown): Uint8Array => Buffer.from(String(text), "base64");
