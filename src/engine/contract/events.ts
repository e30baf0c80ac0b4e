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
/** An event and the place behind it, from which a consumer may go on later. */
export interface PlacedEvent {
  event: Event;
  cursor: string;
}
export interface EventRequest extends Signal {
  /** Replays events from this moment on: seconds since 1970, or nanoseconds as a bigint. */
  since?: number | bigint;
  /** Ends the stream at this moment. */
  until?: number | bigint;
  /** Goes on behind a place of an earlier stream, also over restarts; `since` is not looked at. */
  after?: string;
  filters?: Filters;
}
export interface Events {
  /** Past events from `since` or `after`, then live ones until `until` or the signal. A consumer
   * that can no longer get an event gets one of type "daemon" and action "events-lost" instead. */
  subscribe(o: EventRequest): AsyncIterable<Event>;
  /** The same with each event's place. */
  follow(o: EventRequest): AsyncIterable<PlacedEvent>;
}
