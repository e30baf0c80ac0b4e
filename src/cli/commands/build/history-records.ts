// The builds that the daemon remembers, as the history commands show and name them.

import { GantryError } from "../../../base/index.ts";
import { control } from "../../../gen/buildkit/index.ts";
import type { Builder } from "./builder.ts";

export type HistoryRecord = control.BuildHistoryRecord;

/** The newest first. */
export async function readHistory(
  builder: Builder,
  o: { signal: AbortSignal; filter?: readonly string[]; ref?: string },
): Promise<HistoryRecord[]> {
  const records = new Map<string, HistoryRecord>();
  const { signal, filter = [], ref = "" } = o;
  const request = { earlyExit: true, filter: [...filter], ref };
  for await (const { type, record } of builder.history(request, { signal })) {
    if (!record) continue;
    if (type === control.BuildHistoryEventType.DELETED) records.delete(record.ref);
    else records.set(record.ref, record);
  }
  return [...records.values()].sort((a, b) => startedMs(b) - startedMs(a));
}

/** A record by its ref, the beginning of one, or "^" and "^1" for the latest and the one before. */
export function findRecord(records: readonly HistoryRecord[], name: string): HistoryRecord {
  const offset = /^\^(\d*)$/.exec(name);
  if (name === "" || offset) {
    const found = records[Number(offset?.[1] || "0")];
    if (found) return found;
    throw new GantryError("not-found", "no records found");
  }
  const ref = name.slice(name.lastIndexOf("/") + 1);
  const found = records.filter((record) => record.ref.startsWith(ref));
  const exact = found.find((record) => record.ref === ref);
  if (exact) return exact;
  if (found.length > 1) throw new GantryError("conflict", `${name} names several builds`);
  if (found[0]) return found[0];
  throw new GantryError("not-found", `no record found for ref ${JSON.stringify(name)}`);
}

const ms = (time: { seconds: bigint; nanos: number } | undefined): number | undefined =>
  time === undefined ? undefined : Number(time.seconds) * 1000 + time.nanos / 1e6;

export function startedMs({ createdAt }: HistoryRecord): number {
  return ms(createdAt) ?? 0;
}
export function completedMs({ completedAt }: HistoryRecord): number | undefined {
  return ms(completedAt);
}

const CANCELLED = 1;

export function statusOfRecord({ error, completedAt }: HistoryRecord): string {
  if (error !== undefined) return error.code === CANCELLED ? "Canceled" : "Error";
  return completedAt === undefined ? "Running" : "Completed";
}

/** The context's last part and the target: what a person remembers a build by. */
export function nameOf({ frontendAttrs, ref }: HistoryRecord): string {
  const name = frontendAttrs["gantry:name"];
  const target = frontendAttrs["target"];
  const context = frontendAttrs["vcs:localdir:context"] ?? frontendAttrs["context"];
  const base =
    name ??
    context
      ?.replace(/[#?].*$/, "")
      .replace(/(\.git)?\/*$/, "")
      .split("/")
      .pop();
  const shown = base || frontendAttrs["filename"] || ref;
  return target ? `${shown} (${target})` : shown;
}

/** "1.2s", "2m 05s" */
export function durationText(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
}
