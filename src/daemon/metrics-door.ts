// `metrics-addr`: GET /metrics for Prometheus, on an address of its own, without TLS and without a
// word about it, as dockerd serves it. A unix socket is ours: who may read it is told by its mode.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { GantryError, type Logger, messageOf } from "../base/index.ts";
import type { System } from "../engine/index.ts";
import { type ListenOptions, listenAt, type OpenAddress } from "./listen.ts";

const TIMEOUT_MS = 10_000;
const CONNECTIONS_MAX = 32;
const HEADER_BYTES_MAX = 16 * 1024;

interface MetricsDoor {
  close(): Promise<void>;
}

/** Throws with dockerd's words where the address cannot be served. */
export async function openMetricsDoor(
  text: string,
  { system, ...options }: ListenOptions & { system: System },
): Promise<MetricsDoor> {
  const { log } = options;
  const limits = {
    requestTimeout: TIMEOUT_MS,
    headersTimeout: TIMEOUT_MS,
    keepAliveTimeout: 60_000,
    maxHeaderSize: HEADER_BYTES_MAX,
  };
  const server = createServer(limits, (request, response) => {
    void answer(system, request, response, log);
  });
  server.maxConnections = CONNECTIONS_MAX;
  try {
    await listenAt(server, metricsAddress(text), options);
  } catch (cause) {
    const why = messageOf(cause).replace("failed to load listeners: ", "");
    throw new GantryError("invalid", `failed to start metrics server: ${why}`, { cause });
  }
  log.info("Metrics API listen on", { address: placeOf(server) });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function metricsAddress(text: string): OpenAddress {
  if (text.startsWith("unix://") || text.startsWith("/")) {
    return { kind: "unix", path: text.replace(/^unix:\/\//, ""), text };
  }
  const [, host = "", port = ""] = /^(?:tcp:\/\/)?(\[[^\]]*\]|[^:]*):(\d+)$/.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535) {
    const why = text.includes(":") ? "invalid port" : "missing port in address";
    throw new GantryError("invalid", `error parsing tcp address: address ${text}: ${why}`);
  }
  // Without a host: everywhere, as Go listens.
  return { kind: "tcp", host: host.replace(/^\[|\]$/g, ""), port: Number(port), text };
}

function placeOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") return String(address);
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `${host}:${address.port}`;
}

async function answer(
  system: System,
  request: IncomingMessage,
  response: ServerResponse,
  log: Logger,
): Promise<void> {
  response.on("error", () => {});
  const path = (request.url ?? "/").split("?", 1)[0];
  if (path !== "/metrics") return void plain(response, 404, "404 page not found\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return void plain(response, 405, "Method Not Allowed\n");
  }
  try {
    const { contentType, text } = await system.metrics();
    const body = Buffer.from(text);
    response.writeHead(200, { "Content-Type": contentType, "Content-Length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
  } catch (error) {
    log.error("Failed to collect metrics", { error });
    plain(response, 500, "metrics could not be collected\n");
  }
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(text);
}
