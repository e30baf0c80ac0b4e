// The event bus: verbs publish facts after they became true, subscribers get the past from a moment
// or a place on and then the live stream. A subscriber is a place in the order of events and
// nothing else: who reads slowly reads from the log on disk, so he costs no memory and loses
// nothing that is still kept. Where something is gone, he is told.

import { GantryError, TIMER_MS_MAX } from "../../base/index.ts";
import type { Event, EventRequest, Events, Filters, PlacedEvent } from "../contract.ts";
import { nowNanoseconds } from "../timestamps.ts";
import { boundAttributes } from "./bound-attributes.ts";
import type { EventLog, NumberedEvent } from "./event-log.ts";
import { matchesFilters } from "./filter.ts";

/** Events kept in memory: those that are not on disk yet, and what most subscribers want. */
const RECENT_EVENTS_MAX = 2048;
const READ_EVENTS_MAX = 256;
/** A clock that is set back by more than this is believed. */
const CLOCK_STEP_NS = 10_000_000_000n;
const CURSOR = /^([0-9a-f]{8})-(\d{1,15})$/;
const NO_LOG = "00000000";

export class EventBus implements Events {
  #log: EventLog | undefined;
  #recent: NumberedEvent[] = [];
  #subscribers = new Set<Subscriber>();
  #sequence: number;
  #last: bigint;
  /** Since this process began, for its metrics. */
  publishedCount = 0;

  /** Without a log only the latest events are remembered, and none of them for long. */
  constructor(log?: EventLog) {
    this.#log = log;
    const last = log?.last();
    this.#sequence = last?.sequence ?? 0;
    this.#last = last?.time ?? 0n;
  }

  /** Publishes one event now; times are strictly increasing while the clock goes forward. */
  publish(
    type: string,
    action: string,
    id: string,
    attributes: Record<string, string | undefined> = {},
  ): void {
    const now = nowNanoseconds();
    const isBack = now <= this.#last && this.#last - now < CLOCK_STEP_NS;
    this.#last = isBack ? this.#last + 1n : now;
    const event = makeEvent(type, action, id, attributes, this.#last);
    const sequence = ++this.#sequence;
    this.publishedCount++;
    this.#recent.push({ sequence, event });
    if (this.#recent.length > RECENT_EVENTS_MAX * 1.25) {
      this.#recent = this.#recent.slice(-RECENT_EVENTS_MAX);
    }
    this.#log?.append(sequence, event);
    for (const subscriber of this.#subscribers) subscriber.wake();
  }

  subscribe(request: EventRequest = {}): AsyncIterable<Event> {
    const placed = this.follow(request);
    return (async function* () {
      for await (const { event } of placed) yield event;
    })();
  }

  /** Registered before the first read, so that nothing between request and read is lost. */
  follow(request: EventRequest = {}): AsyncIterable<PlacedEvent> {
    const subscriber = new Subscriber(this.#placeOf(request), request, () => {
      this.#subscribers.delete(subscriber);
      return this.#sequence;
    });
    this.#subscribers.add(subscriber);
    subscriber.arm();
    return this.#events(subscriber, request);
  }

  /** The number behind which a request begins; undefined for a place in another log. */
  #placeOf({ after, since }: EventRequest): number | undefined {
    if (after !== undefined) return this.#placeOfCursor(after);
    if (since === undefined) return this.#sequence;
    const time = nanoseconds(since);
    const recent = this.#recent.find(({ event }) => BigInt(event.timeNano) >= time);
    const older = this.#log?.firstSince(time);
    return Math.min(older ?? Infinity, recent?.sequence ?? Infinity, this.#sequence + 1) - 1;
  }

  #placeOfCursor(cursor: string): number | undefined {
    const [, log, number] = CURSOR.exec(cursor) ?? [];
    if (number === undefined) {
      throw new GantryError("invalid", `invalid cursor ${JSON.stringify(cursor)}`);
    }
    const isHere = log === (this.#log?.id ?? NO_LOG) && Number(number) <= this.#sequence;
    return isHere ? Number(number) : undefined;
  }

  async *#events(subscriber: Subscriber, request: EventRequest): AsyncGenerator<PlacedEvent> {
    const wanted = timesAndFilters(request);
    let place = subscriber.place ?? 0;
    try {
      // Nothing is known of what came between a place in another log and the first event here.
      if (subscriber.place === undefined) yield { event: lostEvents(), cursor: this.#cursor(0) };
      for (;;) {
        const batch = this.#read(place, subscriber.end);
        const lost = (batch[0]?.sequence ?? place + 1) - place - 1;
        if (lost > 0 && subscriber.place !== undefined) {
          yield { event: lostEvents(lost), cursor: this.#cursor(place + lost) };
        }
        for (const { sequence, event } of batch) {
          place = sequence;
          if (wanted(event)) yield { event, cursor: this.#cursor(sequence) };
        }
        if (batch.length > 0) await new Promise((resolve) => setImmediate(resolve));
        else if (subscriber.end !== undefined) return;
        else await subscriber.woken();
      }
    } finally {
      subscriber.close();
    }
  }

  #cursor(sequence: number): string {
    return `${this.#log?.id ?? NO_LOG}-${sequence}`;
  }

  #read(place: number, end: number | undefined): NumberedEvent[] {
    const first = this.#recent[0]?.sequence ?? this.#sequence + 1;
    let batch: NumberedEvent[] = [];
    if (place + 1 < first) {
      this.#log?.flush();
      batch = this.#log?.read(place, READ_EVENTS_MAX) ?? [];
    }
    if (batch.length === 0) {
      const from = Math.max(0, place + 1 - first);
      batch = this.#recent.slice(from, from + READ_EVENTS_MAX);
    }
    return end === undefined ? batch : batch.filter(({ sequence }) => sequence <= end);
  }

  get subscriberCount(): number {
    return this.#subscribers.size;
  }

  close(): void {
    for (const subscriber of this.#subscribers) subscriber.close();
    this.#log?.close();
    this.#log = undefined;
  }
}

/** Where a stream is, and what wakes and ends it. */
class Subscriber {
  readonly place: number | undefined;
  /** The last event that it gets, once it is to end. */
  end: number | undefined;
  #request: EventRequest;
  #onClose: () => number;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(place: number | undefined, request: EventRequest, onClose: () => number) {
    this.place = place;
    this.#request = request;
    this.#onClose = onClose;
  }

  /** Ends the stream at `until` or when the caller goes away. */
  arm(): void {
    const { signal, until } = this.#request;
    if (until !== undefined) {
      const delay = Number(nanoseconds(until) / 1_000_000n) - Date.now();
      if (delay <= 0) this.close();
      else this.#timer = setTimeout(() => this.close(), Math.min(delay, TIMER_MS_MAX));
    }
    if (signal?.aborted) this.close();
    else signal?.addEventListener("abort", this.close, { once: true });
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  async woken(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  close = (): void => {
    if (this.end !== undefined) return;
    this.end = this.#onClose();
    clearTimeout(this.#timer);
    this.#request.signal?.removeEventListener("abort", this.close);
    this.wake();
  };
}

/** As far as 64 bits reach: the year 2262. */
function nanoseconds(moment: number | bigint): bigint {
  const exact = typeof moment === "bigint" ? moment : BigInt(Math.round(moment * 1e6)) * 1000n;
  const limit = 2n ** 63n - 1n;
  return exact > limit ? limit : exact < -limit ? -limit : exact;
}

function timesAndFilters({ after, since, until, filters }: EventRequest): (e: Event) => boolean {
  const from = since === undefined || after !== undefined ? undefined : nanoseconds(since);
  const to = until === undefined ? undefined : nanoseconds(until);
  return (event) => {
    const time = BigInt(event.timeNano);
    if (from !== undefined && time < from) return false;
    if (to !== undefined && time > to) return false;
    return matchesFilters(event, filters ?? (new Map() as Filters));
  };
}

function makeEvent(
  type: string,
  action: string,
  id: string,
  attributes: Record<string, string | undefined>,
  timeNano: bigint,
): Event {
  return {
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: boundAttributes(attributes) },
    scope: "local",
    time: Number(timeNano / 1_000_000_000n),
    timeNano,
  };
}

/** Told whatever the filters are: what was lost may have passed them. */
function lostEvents(count?: number): Event {
  const reason = count === undefined ? "the cursor is of another log" : "no longer kept";
  const attributes = { count: count === undefined ? "unknown" : String(count), reason };
  return makeEvent("daemon", "events-lost", "", attributes, nowNanoseconds());
}
