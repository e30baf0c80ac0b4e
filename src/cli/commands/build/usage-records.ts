// What the build cache holds, as `builder du` and `builder prune` show it.

import { GantryError, humanSize, parseDuration } from "../../../base/index.ts";
import type { control } from "../../../gen/buildkit/index.ts";
import type { Filters } from "../../flags/filters.ts";
import type { RowType } from "../../format/table.ts";
import { ago } from "../../format/text.ts";

type UsageRecord = control.UsageRecord;

export const USAGE_TABLE = "table {{.ID}}\\t{{.Reclaimable}}\\t{{.Size}}\\t{{.LastUsedAt}}";

const seconds = (time: { seconds: bigint } | undefined): number | undefined =>
  time === undefined ? undefined : Number(time.seconds);
const shownAgo = (time: { seconds: bigint } | undefined): string => {
  const at = seconds(time);
  return at === undefined || at <= 0 ? "" : ago(at);
};

export const usageRow: RowType<UsageRecord> = {
  goType: "*commands.diskusageContext",
  columns: {
    ID: { header: "ID", value: ({ id, mutable }) => (mutable ? `${id}*` : id) },
    Parents: { header: "PARENTS", value: ({ parents }) => parents },
    CreatedAt: { header: "CREATED AT", value: ({ createdAt }) => iso(createdAt) },
    Mutable: { header: "MUTABLE", value: ({ mutable }) => mutable },
    Reclaimable: { header: "RECLAIMABLE", value: ({ inUse }) => !inUse },
    Shared: { header: "SHARED", value: ({ shared }) => shared },
    Size: { header: "SIZE", value: ({ size }) => humanSize(Number(size)) },
    Description: { header: "DESCRIPTION", value: ({ description }) => description },
    UsageCount: { header: "USAGE COUNT", value: ({ usageCount }) => Number(usageCount) },
    LastUsedAt: { header: "LAST ACCESSED", value: ({ lastUsedAt }) => shownAgo(lastUsedAt) },
    Type: { header: "TYPE", value: ({ recordType }) => recordType },
  },
};

function iso(time: { seconds: bigint } | undefined): string {
  const at = seconds(time);
  return at === undefined ? "" : new Date(at * 1000).toISOString();
}

/** Every field of a record on a line of its own. */
export function verboseRecord(record: UsageRecord): string {
  const rows: [string, string][] = [
    ["ID:", record.id],
    ...record.parents.map((parent, at): [string, string] => [at === 0 ? "Parents:" : "", parent]),
    ["Created at:", iso(record.createdAt)],
    ["Mutable:", String(record.mutable)],
    ["Reclaimable:", String(!record.inUse)],
    ["Shared:", String(record.shared)],
    ["Size:", humanSize(Number(record.size))],
  ];
  if (record.description !== "") rows.push(["Description:", record.description]);
  rows.push(["Usage count:", String(record.usageCount)]);
  if (record.lastUsedAt) rows.push(["Last used:", shownAgo(record.lastUsedAt)]);
  if (record.recordType !== "") rows.push(["Type:", record.recordType]);
  return `${rows.map(([name, value]) => `${name.padEnd(15)} ${value}`).join("\n")}\n`;
}

/** The sums beneath the list. */
export function usageSummary(records: readonly UsageRecord[]): string {
  const sum = (which: (record: UsageRecord) => boolean) =>
    records.filter(which).reduce((total, { size }) => total + Number(size), 0);
  const shared = sum(({ shared }) => shared);
  const all = sum(() => true);
  const rows: [string, number][] = [
    ["Reclaimable:", sum(({ inUse }) => !inUse)],
    ["Total:", all],
  ];
  if (shared > 0) rows.unshift(["Shared:", shared], ["Private:", all - shared]);
  return rows.map(([name, bytes]) => `${name.padEnd(15)} ${humanSize(bytes)}\n`).join("");
}

const FLAGS = ["shared", "inuse", "private", "mutable", "immutable"];

/** --filter as BuildKit's: "until" is an age in nanoseconds, the rest a condition a name. */
export function usageFilter(filters: Filters): { filter: string[]; ageNs: bigint } {
  let ageNs = 0n;
  const all: string[] = [];
  for (const [name, values] of Object.entries(filters)) {
    if (name === "until" || name === "unused-for") {
      if (values.length > 1) throw new GantryError("invalid", "more than one until filter given");
      ageNs = BigInt(Math.round(age(values[0]!)));
      continue;
    }
    for (const value of values) {
      if (FLAGS.includes(name)) {
        if (value !== "true" && value !== "1" && value !== "") {
          throw new GantryError("invalid", `invalid filter ${name}=${value}: only true is known`);
        }
        all.push(name);
      } else if (name === "id") all.push(`id~=${quoted(value)}`);
      else if (["type", "description", "parents"].includes(name)) {
        all.push(`${name}==${quoted(value)}`);
      } else throw new GantryError("invalid", `unknown filter ${JSON.stringify(name)}`);
    }
  }
  return { filter: all.length === 0 ? [] : [all.join(",")], ageNs };
}

/** A duration, or a time since which. */
function age(text: string): number {
  try {
    return parseDuration(text);
  } catch (cause) {
    const time = Date.parse(text);
    if (!Number.isNaN(time)) return (Date.now() - time) * 1e6;
    throw new GantryError("invalid", `expected one value for until filter: ${text}`, { cause });
  }
}

function quoted(text: string): string {
  return /^[\w.:@/-]+$/.test(text) ? text : JSON.stringify(text);
}
