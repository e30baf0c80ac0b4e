// Prometheus metrics. Labels are of closed sets only (route, method, status, driver, operation):
// never a repository, a user or an address, of which a stranger could make millions. Parts that are
// not requests are counted by wrapping their interface: instrumentStore, instrumentContent.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { kindOf } from "../../base/index.ts";
import type { ObjectStore, Observer, RegistryContent, RequestSummary } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import type { AuditLog } from "./audit-log.ts";
import type { EndpointState, Webhooks } from "./webhooks.ts";

const prefix = "gantry_registry_";
const methodsKnown = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
/** A manifest takes a millisecond, a layer over a slow line many minutes. */
const secondsBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800];

export interface Metrics extends Observer {
  finished(summary: RequestSummary): void;
  /** The store, with its operations counted and timed. */
  instrumentStore(store: ObjectStore, driver: string): ObjectStore;
  /** The content, with uploads in flight counted. */
  instrumentContent(content: RegistryContent): RegistryContent;
  cacheLookup(kind: "manifest" | "blob" | "tag", result: "hit" | "miss" | "stale" | "error"): void;
  collected(run: { blobs: number; bytes: number; seconds: number; failed?: boolean }): void;
  /** A value that is asked for at each scrape, like the bytes of a queue. */
  gauge(name: string, help: string, labelNames: string[], read: () => Iterable<GaugeValue>): void;
  /** Queues of webhooks: bytes that wait, deliveries, failed attempts, lost events. */
  watchWebhooks(webhooks: Webhooks): void;
  watchAudit(audit: AuditLog): void;
  /** The exposition format, and its media type. */
  text(): Promise<string>;
  readonly contentType: string;
}
export interface GaugeValue {
  labels?: Record<string, string>;
  value: number;
}

/** `defaults` adds those of the process: memory, processor, event loop. */
export function createMetrics({ defaults = true }: { defaults?: boolean } = {}): Metrics {
  const register = new Registry();
  if (defaults) collectDefaultMetrics({ register });
  const instruments = createInstruments(register);
  const gauge: Metrics["gauge"] = (name, help, labelNames, read) => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [register],
      collect() {
        this.reset();
        for (const { labels = {}, value } of read()) this.set(labels, value);
      },
    });
  };
  return {
    gauge,
    watchWebhooks: (webhooks) => watchWebhooks(gauge, webhooks),
    watchAudit: (audit) =>
      gauge(`${prefix}audit_dropped_lines`, "Lines that the audit log has lost", [], () => [
        { value: audit.dropped },
      ]),
    event({ action }) {
      instruments.events.inc({ action });
    },
    finished(summary) {
      const { bytesIn, bytesOut, seconds, errorCode, status } = summary;
      const method = methodsKnown.has(summary.request.method) ? summary.request.method : "other";
      const { route } = summary;
      instruments.requests.inc({ route, method, status });
      instruments.seconds.observe({ route, method }, seconds);
      if (bytesIn > 0) instruments.received.inc({ route }, bytesIn);
      if (bytesOut > 0) instruments.sent.inc({ route }, bytesOut);
      if (errorCode !== undefined) instruments.errors.inc({ code: errorCode });
    },
    instrumentStore: (store, driver) => instrumentStore(store, driver, instruments),
    instrumentContent: (content) => instrumentContent(content, instruments),
    cacheLookup: (kind, result) => instruments.cache.inc({ kind, result }),
    collected({ blobs, bytes, seconds, failed = false }) {
      instruments.gcRuns.inc({ result: failed ? "failed" : "ok" });
      instruments.gcBlobs.inc(blobs);
      instruments.gcBytes.inc(bytes);
      instruments.gcSeconds.set(seconds);
      if (!failed) instruments.gcAt.setToCurrentTime();
    },
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

function watchWebhooks(gauge: Metrics["gauge"], webhooks: Webhooks): void {
  const of = (name: string, help: string, read: (state: EndpointState) => number) =>
    gauge(`${prefix}webhook_${name}`, help, ["endpoint"], () =>
      webhooks.states().map((state) => ({ labels: { endpoint: state.name }, value: read(state) })),
    );
  of("queued_bytes", "Events that wait for an endpoint", (state) => state.pendingBytes);
  of("delivered", "Events that an endpoint has taken", (state) => state.delivered);
  of("failed_attempts", "Attempts to deliver that failed", (state) => state.failures);
  of("dropped", "Events lost because the queue was full", (state) => state.dropped);
}

type Instruments = ReturnType<typeof createInstruments>;

function createInstruments(register: Registry) {
  const registers = [register];
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `${prefix}${name}`, help, registers });
  return {
    requests: counter("requests_total", "Requests answered", ["route", "method", "status"]),
    seconds: new Histogram({
      name: `${prefix}request_seconds`,
      help: "Time from a request's head to the end of its answer",
      labelNames: ["route", "method"],
      buckets: secondsBuckets,
      registers,
    }),
    received: counter("received_bytes_total", "Bytes of request bodies", ["route"]),
    sent: counter("sent_bytes_total", "Bytes of answers' bodies", ["route"]),
    errors: counter("errors_total", "Errors answered, by their code", ["code"]),
    events: counter("events_total", "Pulls, pushes, mounts and deletions", ["action"]),
    uploads: gauge("uploads_in_flight", "Upload requests that are receiving bytes"),
    store: new Histogram({
      name: `${prefix}store_seconds`,
      help: "Time of the store's operations",
      labelNames: ["driver", "operation"],
      buckets: [0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5, 30],
      registers,
    }),
    storeErrors: counter("store_errors_total", "Operations of the store that failed", [
      "driver",
      "operation",
      "kind",
    ]),
    cache: counter("cache_lookups_total", "Lookups in the pull-through cache", ["kind", "result"]),
    gcRuns: counter("gc_runs_total", "Garbage collections", ["result"]),
    gcBlobs: counter("gc_removed_blobs_total", "Blobs that garbage collection removed"),
    gcBytes: counter("gc_removed_bytes_total", "Bytes that garbage collection freed"),
    gcSeconds: gauge("gc_last_seconds", "Duration of the last garbage collection"),
    gcAt: gauge("gc_last_success_timestamp_seconds", "When garbage collection last succeeded"),
  };
}

function instrumentStore(store: ObjectStore, driver: string, to: Instruments): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      const operation = String(property);
      return (...list: unknown[]) => {
        const result: unknown = value.apply(target, list);
        if (!(result instanceof Promise)) return result; // walk, uploads: listings without an end
        const stop = to.store.startTimer({ driver, operation });
        return result.then(
          (answer: unknown) => {
            stop();
            return answer;
          },
          (error: unknown) => {
            stop();
            // That something is not there is an answer, not a failure.
            const kind = error instanceof RegistryError ? error.code : kindOf(error);
            if (kind !== "not-found") to.storeErrors.inc({ driver, operation, kind });
            throw error;
          },
        );
      };
    },
  });
}

function instrumentContent(content: RegistryContent, to: Instruments): RegistryContent {
  return new Proxy(content, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      if (property !== "append") return value.bind(target);
      return async (...list: Parameters<RegistryContent["append"]>) => {
        to.uploads.inc();
        try {
          return await target.append(...list);
        } finally {
          to.uploads.dec();
        }
      };
    },
  });
}
