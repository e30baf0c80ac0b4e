// What an operator may say about watching a registry, as plain data; see access/options.ts.

import type { RegistryEvent } from "../contract.ts";

/** One JSON line for each request. */
export interface AuditOptions {
  file: string;
  /** A file that grows larger is renamed FILE.1, FILE.2 … [64 MiB; 0: rotation is somebody else's,
   * who calls reopen() (SIGHUP)]. */
  rotateBytes?: number;
  /** Rotated files that are kept [5]. */
  keep?: number;
  /** Lines that wait for a slow disk; more are dropped and counted [10 000]. */
  queueLinesMax?: number;
  /** "changes" leaves out successful reads ["all"]. */
  what?: "all" | "changes";
}

/** Notifications in the shape of docker's registry
 * (application/vnd.docker.distribution.events.v1+json). */
export interface WebhookOptions {
  /** Folder of the queues; one process a folder. */
  folder: string;
  endpoints: readonly WebhookEndpoint[];
  /** Names this registry in events [host name]. */
  source?: string;
}
export interface WebhookEndpoint {
  /** Names its queue: letters, digits, `-`, `_`. */
  name: string;
  url: string;
  headers?: Readonly<Record<string, string>>;
  /** Of one attempt [5 000]. */
  timeoutMs?: number;
  /** After so many failures in a row it waits `backoffMs` between attempts [5; before that: 1/5 of
   * it]. */
  threshold?: number;
  /** [10 000] */
  backoffMs?: number;
  ignore?: {
    mediaTypes?: readonly string[];
    actions?: readonly RegistryEvent["action"][];
  };
  /** Events that wait on disk; more are dropped and counted [64 MiB]. */
  queueBytesMax?: number;
}

/** A second, private address with /metrics, /healthz and /readyz. */
export interface DebugServerOptions {
  host: string;
  port: number;
}
