// The filters that the prune commands share: until, label, label!.

import { GantryError, parseDuration } from "../base/index.ts";
import { matchesLabel } from "./containers/filter.ts";
import type { Filters } from "./contract.ts";
import { millisecondsOf } from "./timestamps.ts";

export interface PruneFilters {
  untilMs: number | undefined;
  labels: readonly string[];
  notLabels: readonly string[];
}

/** `further` names filters that the caller looks at itself. Throws invalid on unknown ones. */
export function parsePruneFilters(filters: Filters, further: readonly string[]): PruneFilters {
  for (const key of filters.keys()) {
    if (["until", "label", "label!", ...further].includes(key)) continue;
    throw new GantryError("invalid", `invalid filter '${key}'`);
  }
  const until = filters.get("until") ?? [];
  if (until.length > 1) throw new GantryError("invalid", "more than one until filter specified");
  return {
    untilMs: until[0] === undefined ? undefined : parseMoment(until[0]),
    labels: filters.get("label") ?? [],
    notLabels: filters.get("label!") ?? [],
  };
}

/** True when something of that age and with those labels may go. */
export function passesPrune(
  filters: PruneFilters,
  thing: { created: string; labels: Record<string, string> },
): boolean {
  if (filters.untilMs !== undefined && millisecondsOf(thing.created) > filters.untilMs)
    return false;
  if (filters.notLabels.some((label) => matchesLabel(thing.labels, label))) return false;
  return filters.labels.every((label) => matchesLabel(thing.labels, label));
}

const NS_PER_MS = 1e6;

/** A duration before now ("24h", "1h30m"), seconds since the epoch, or an RFC 3339 time. */
export function parseMoment(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^[\d.]+[a-zµ]/.test(text)) return Date.now() - parseDuration(text) / NS_PER_MS;
  const at = Date.parse(text);
  if (Number.isNaN(at)) {
    const why = `failed to parse value as time or duration: ${JSON.stringify(text)}`;
    throw new GantryError("invalid", why);
  }
  return at;
}
