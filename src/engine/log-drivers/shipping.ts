// The shippers of all containers with a remote log driver: begun at a start or taken up at boot,
// told when a container ends, given a last moment when it is removed.

import { setTimeout as delay } from "node:timers/promises";
import { GantryError, kindOf, type Logger, messageOf } from "../../base/index.ts";
import type { LogInfo } from "../logs/index.ts";
import type { LogSink } from "./contract.ts";
import { remoteDriver } from "./drivers.ts";
import { type ShippedLog, Shipper, type ShippingCounters } from "./shipper.ts";

/** How long the removal of a container waits for its last lines to be taken; where the receiver
 * does not take them anyway, not so long. */
const REMOVAL_MS_MAX = 10_000;
const REMOVAL_FAILING_MS_MAX = 2_000;

export interface LogShippingStatus extends ShippingCounters {
  driver: string;
  /** Everything is shipped, and no more comes. */
  done: boolean;
}

type Entry = { driver: string; shipper: Shipper; isDone: boolean };

export class LogShipping {
  readonly #entries = new Map<string, Entry>();
  readonly #logs: (c: LogInfo) => ShippedLog;
  readonly #log: Logger;
  readonly #closing = new AbortController();

  constructor(o: { logs: (c: LogInfo) => ShippedLog; log: Logger }) {
    this.#logs = o.logs;
    this.#log = o.log;
  }

  /** The sink for a container that starts, connected where its driver wants that. Undefined where
   * the driver is not remote. Throws in dockerd's words; the caller closes what it begins not. */
  async open(c: LogInfo): Promise<LogSink | undefined> {
    const driver = remoteDriver(driverName(c));
    if (!driver) return undefined;
    let sink: LogSink | undefined;
    try {
      sink = await driver.open(c, { log: this.#logOf(c) });
      await sink.connect?.(this.#closing.signal);
      return sink;
    } catch (cause) {
      sink?.close();
      const kind = kindOf(cause) === "invalid" ? "invalid" : "internal";
      const what = "failed to create task for container: failed to initialize logging driver";
      throw new GantryError(kind, `${what}: ${messageOf(cause)}`, { cause });
    }
  }

  /** The container runs: ships as it writes. Goes on where an earlier run of it left off. */
  async begin(c: LogInfo, sink: LogSink): Promise<void> {
    await this.#end(c.id);
    const shipper = new Shipper({ sink, source: this.#logs(c), log: this.#logOf(c) });
    const entry: Entry = { driver: driverName(c), shipper, isDone: false };
    this.#entries.set(c.id, entry);
    void shipper.done.then(() => (entry.isDone = true));
  }

  /** At boot: running containers are followed again; what ended ones left is shipped. A receiver
   * that is not there now is tried again. */
  async resume(c: LogInfo, { isRunning }: { isRunning: boolean }): Promise<void> {
    try {
      const driver = remoteDriver(driverName(c));
      if (!driver) return;
      await this.begin(c, await driver.open(c, { log: this.#logOf(c) }));
      if (!isRunning) this.finish(c.id);
    } catch (error) {
      this.#log.error("Failed to take up the shipping of a container's log", { id: c.id, error });
    }
  }

  /** The container has ended: what is left is shipped in the background. */
  finish(id: string): void {
    this.#entries.get(id)?.shipper.finish();
  }

  /** The container is removed: waits a moment for its last lines, then lets go. */
  async release(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.shipper.finish();
    const { counters, done } = entry.shipper;
    const patience = new AbortController();
    const ms = counters.error === undefined ? REMOVAL_MS_MAX : REMOVAL_FAILING_MS_MAX;
    const late = delay(ms, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([done, late]);
    patience.abort();
    if (!entry.isDone) {
      const { error = "the receiver is slow", waitingLines } = counters;
      const what = "A container was removed before its log was shipped";
      this.#log.warn(what, { id, error, waitingLines });
    }
    await this.#end(id);
    this.#entries.delete(id);
  }

  status(id: string): LogShippingStatus | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    return { driver: entry.driver, done: entry.isDone, ...entry.shipper.counters };
  }

  /** Of every container with a remote driver, by container. */
  counters(): ReadonlyMap<string, LogShippingStatus> {
    return new Map([...this.#entries.keys()].map((id) => [id, this.status(id)!]));
  }

  /** The daemon ends. What is not shipped is shipped by the next one. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#entries.keys()].map((id) => this.#end(id)));
  }

  async #end(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.shipper.stop();
    await entry.shipper.done;
  }

  #logOf(c: LogInfo): Logger {
    const fields = { container: c.id, driver: driverName(c) };
    const { debug, info, warn, error } = this.#log;
    return {
      level: this.#log.level,
      debug: (message, more) => debug(message, { ...fields, ...more }),
      info: (message, more) => info(message, { ...fields, ...more }),
      warn: (message, more) => warn(message, { ...fields, ...more }),
      error: (message, more) => error(message, { ...fields, ...more }),
    };
  }
}

const driverName = (c: LogInfo): string => c.hostConfig.LogConfig?.Type ?? "json-file";
