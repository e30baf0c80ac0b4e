// The door to events.

import type { Filters, Signal } from "./shared-nouns.ts";

export interface Event {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  scope: "local";
  time: number;
  timeNano: number | bigint;
}
export interface Events {
  /** Past events from `since`, then live ones until `until` or the signal. */
  subscribe(
    o: Signal & { since?: number; until?: number; filters?: Filters },
  ): AsyncIterable<Event>;
}
