// Webhooks: each endpoint has a queue on disk and one sender, so events arrive in order, survive a
// restart, and a dead endpoint delays neither requests nor its neighbours. An answer of 2xx or 3xx
// ends an event; anything else is tried again, for ever, until the queue is full.

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError, type Logger, messageOf, silentLogger } from "../../base/index.ts";
import type { Observer, RegistryEvent } from "../contract.ts";
import { DiskQueue } from "./disk-queue.ts";
import { envelopeEvent, envelopeMediaType, eventSource } from "./event-envelope.ts";
import type { WebhookEndpoint, WebhookOptions } from "./options.ts";

/** An attempt under way at the end may finish, so that its event is not sent twice. */
const closeGraceMs = 1000;

export interface EndpointState {
  name: string;
  pendingBytes: number;
  delivered: number;
  failures: number;
  dropped: number;
}

export interface Webhooks extends Observer {
  event(event: RegistryEvent): void;
  /** For metrics and the health page. */
  states(): EndpointState[];
  /** Stops the senders; what is queued stays on disk. */
  close(): Promise<void>;
}

/** Goes on with what an earlier process left. Throws GantryError invalid on bad endpoints. */
export async function createWebhooks(
  options: WebhookOptions,
  { logger = silentLogger }: { logger?: Logger } = {},
): Promise<Webhooks> {
  const names = new Set<string>();
  for (const endpoint of options.endpoints) {
    checkEndpoint(endpoint);
    if (names.has(endpoint.name)) {
      throw new GantryError("invalid", `Webhook "${endpoint.name}" is there twice`);
    }
    names.add(endpoint.name);
  }
  const senders = options.endpoints.map(
    (endpoint) => new Sender(endpoint, join(options.folder, endpoint.name), logger),
  );
  await Promise.all(senders.map((sender) => sender.open()));
  const source = eventSource(options.source);
  return {
    event(event) {
      const interested = senders.filter((sender) => sender.wants(event));
      if (interested.length === 0) return;
      const line = JSON.stringify(envelopeEvent(event, source));
      for (const sender of interested) sender.queue.add(line);
    },
    states: () => senders.map((sender) => sender.state()),
    close: async () => {
      await Promise.all(senders.map((sender) => sender.close()));
    },
  };
}

function checkEndpoint({ name, url, headers = {} }: WebhookEndpoint): void {
  if (!/^[\w-]{1,64}$/.test(name)) {
    throw new GantryError("invalid", `Webhook "${name}": the name is letters, digits, - and _`);
  }
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new GantryError("invalid", `Webhook "${name}": "${url}" is not an http or https address`);
  }
  try {
    new Headers(headers);
  } catch (cause) {
    throw new GantryError("invalid", `Webhook "${name}": bad headers: ${messageOf(cause)}`, {
      cause,
    });
  }
}

class Sender {
  readonly queue: DiskQueue;
  readonly #endpoint: WebhookEndpoint;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  /** Ends an attempt that the grace at the end did not suffice for. */
  readonly #cut = new AbortController();
  #delivered = 0;
  #failures = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(endpoint: WebhookEndpoint, folder: string, logger: Logger) {
    this.#endpoint = endpoint;
    this.#logger = logger;
    const bytesMax = endpoint.queueBytesMax ?? 64 * 1024 * 1024;
    this.queue = new DiskQueue(folder, { bytesMax, logger });
  }

  async open(): Promise<void> {
    await this.queue.open();
    this.#running = this.#run().catch((error: unknown) => {
      this.#logger.error("A webhook has stopped", { name: this.#endpoint.name, error });
    });
  }

  wants({ action, target }: RegistryEvent): boolean {
    const { actions, mediaTypes } = this.#endpoint.ignore ?? {};
    return !actions?.includes(action) && !mediaTypes?.includes(target.mediaType);
  }

  state(): EndpointState {
    return {
      name: this.#endpoint.name,
      pendingBytes: this.queue.bytes,
      delivered: this.#delivered,
      failures: this.#failures,
      dropped: this.queue.dropped,
    };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const timer = setTimeout(() => this.#cut.abort(), closeGraceMs);
    await this.queue.close();
    await this.#running;
    clearTimeout(timer);
    await this.queue.saveCursor();
  }

  async #run(): Promise<void> {
    for (;;) {
      const line = await this.queue.next();
      if (line === undefined) return;
      if (isJson(line)) {
        if (!(await this.#deliver(line))) return;
        this.#delivered++;
      } else {
        this.#logger.warn("A damaged event is left out", { name: this.#endpoint.name });
      }
      await this.queue.advance();
    }
  }

  /** True when it was taken, false when we are to stop. */
  async #deliver(line: string): Promise<boolean> {
    const { name, threshold = 5, backoffMs = 10_000 } = this.#endpoint;
    for (let failed = 0; ; ) {
      try {
        await this.#send(line);
        if (failed >= threshold) this.#logger.info("A webhook takes events again", { name });
        return true;
      } catch (error) {
        if (this.#stop.signal.aborted) return false;
        this.#failures++;
        if (++failed === threshold) this.#logger.warn("A webhook fails", { name, error });
      }
      const wait = failed >= threshold ? backoffMs : backoffMs / 5;
      try {
        await delay(wait, undefined, { signal: this.#stop.signal, ref: false });
      } catch {
        return false;
      }
    }
  }

  async #send(line: string): Promise<void> {
    const { url, headers = {}, timeoutMs = 5000 } = this.#endpoint;
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "Content-Type": envelopeMediaType },
      body: `{"events":[${line}]}`,
      redirect: "manual",
      signal: AbortSignal.any([this.#cut.signal, AbortSignal.timeout(timeoutMs)]),
    });
    await response.body?.cancel();
    if (response.status >= 400) throw new GantryError("unavailable", `HTTP ${response.status}`);
  }
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
