// The event bus: verbs publish facts after they became true, subscribers get the remembered past
// from `since` on and then the live stream. A subscriber that does not read is bounded: it loses
// its oldest events rather than the daemon its memory.

import type { Event, Events, Filters, Signal } from "../contract.ts";
import { nowNanoseconds } from "../timestamps.ts";
import { matchesFilters } from "./filter.ts";

const HISTORY_EVENTS_MAX = 4096;
const QUEUE_EVENTS_MAX = 8192;

type Subscriber = { push(event: Event): void };

export class EventBus implements Events {
  #history: Event[] = [];
  #subscribers = new Set<Subscriber>();
  #last = 0n;

  /** Publishes one event now; times are strictly increasing. */
  publish(
    type: string,
    action: string,
    id: string,
    attributes: Record<string, string | undefined> = {},
  ): void {
    const now = nowNanoseconds();
    this.#last = now > this.#last ? now : this.#last + 1n;
    const event: Event = {
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: defined(attributes) },
      scope: "local",
      time: Number(this.#last / 1_000_000_000n),
      timeNano: this.#last,
    };
    this.#history.push(event);
    if (this.#history.length > HISTORY_EVENTS_MAX * 1.25) {
      this.#history = this.#history.slice(-HISTORY_EVENTS_MAX);
    }
    for (const subscriber of this.#subscribers) subscriber.push(event);
  }

  /** `since` and `until` are seconds since the epoch, fractions allowed. */
  subscribe(
    o: Signal & { since?: number; until?: number; filters?: Filters } = {},
  ): AsyncIterable<Event> {
    const queue = new EventQueue(o);
    // Registered before the first read, so that nothing between request and read is lost.
    if (o.since !== undefined) for (const event of this.#history) queue.push(event);
    if (o.until === undefined || o.until * 1000 > Date.now()) {
      this.#subscribers.add(queue);
      queue.onClose = () => this.#subscribers.delete(queue);
      queue.arm();
    } else {
      queue.close();
    }
    return queue;
  }

  get subscriberCount(): number {
    return this.#subscribers.size;
  }
}

class EventQueue implements Subscriber, AsyncIterable<Event> {
  onClose: () => void = () => {};
  #options: Signal & { since?: number; until?: number; filters?: Filters };
  #events: Event[] = [];
  #closed = false;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Signal & { since?: number; until?: number; filters?: Filters }) {
    this.#options = options;
  }

  push(event: Event): void {
    const { since, until, filters } = this.#options;
    const seconds = Number(event.timeNano) / 1e9;
    if (since !== undefined && seconds < since) return;
    if (until !== undefined && seconds > until) return;
    if (filters && !matchesFilters(event, filters)) return;
    if (this.#events.length >= QUEUE_EVENTS_MAX) this.#events.shift();
    this.#events.push(event);
    this.#wake?.();
  }

  /** Ends the stream at `until` or when the caller goes away. */
  arm(): void {
    const { signal, until } = this.#options;
    if (until !== undefined) {
      const delay = Math.min(Math.max(0, until * 1000 - Date.now()), 2 ** 31 - 1);
      this.#timer = setTimeout(() => this.close(), delay);
    }
    if (signal?.aborted) this.close();
    else signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.onClose();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event> {
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event) {
          yield event;
        } else if (this.#closed) {
          return;
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve));
          this.#wake = undefined;
        }
      }
    } finally {
      this.close();
    }
  }
}

function defined(attributes: Record<string, string | undefined>): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) out[key] = value;
  return out;
}
