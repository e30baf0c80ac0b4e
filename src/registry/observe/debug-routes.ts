// /metrics, /healthz and /readyz: as extra routes of the registry (health is open, metrics only for
// who may do everything) or on a private address of their own, where all of it is open.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { GantryError, messageOf } from "../../base/index.ts";
import type { ExtraRoute, Gatekeeper } from "../contract.ts";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import type { DebugServerOptions } from "./options.ts";

/** For the registry's own address. The reason why a store fails stays inside. */
export function healthRoutes(health: Health): ExtraRoute[] {
  return [
    { path: "/healthz", handle: async (request, response) => live(request, response) },
    {
      path: "/readyz",
      handle: async (request, response) => sendReady(request, response, health, { why: false }),
    },
  ];
}

/** /metrics for callers whom `gatekeeper` allows everything in the registry. */
export function metricsRoute(metrics: Metrics, gatekeeper: Gatekeeper): ExtraRoute {
  return {
    path: "/metrics",
    handle: async (request, response, facts) => {
      await gatekeeper.admit(facts, [{ type: "registry", name: "catalog", actions: ["*"] }]);
      await sendMetrics(request, response, metrics);
    },
  };
}

export interface DebugServer {
  port: number;
  close(): Promise<void>;
}

/** Listens on an address that only the operator's network reaches. */
export async function startDebugServer(
  { host, port }: DebugServerOptions,
  { metrics, health }: { metrics: Metrics; health: Health },
): Promise<DebugServer> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?")[0];
    if (path === "/metrics") await sendMetrics(request, response, metrics);
    else if (path === "/healthz") live(request, response);
    else if (path === "/readyz") await sendReady(request, response, health, { why: true });
    else
      send(request, response, { status: 404, body: "There is /metrics, /healthz and /readyz\n" });
  }
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const where = `${host}:${port}`;
      reject(new GantryError("unavailable", `Listen on ${where}: ${messageOf(cause)}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function live(request: IncomingMessage, response: ServerResponse): void {
  send(request, response, { status: 200, body: "ok\n" });
}

async function sendReady(
  request: IncomingMessage,
  response: ServerResponse,
  health: Health,
  { why }: { why: boolean },
): Promise<void> {
  const state = await health.ready();
  const checks = Object.entries(state.checks).map(([name, result]) => [
    name,
    why || result === "ok" ? result : "failed",
  ]);
  const body = {
    status: state.ready ? "ready" : "not ready",
    readOnly: state.readOnly,
    checks: Object.fromEntries(checks),
  };
  send(request, response, {
    status: state.ready ? 200 : 503,
    type: "application/json",
    body: `${JSON.stringify(body)}\n`,
  });
}

async function sendMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  metrics: Metrics,
): Promise<void> {
  const body = await metrics.text();
  send(request, response, { status: 200, type: metrics.contentType, body });
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: { status: number; body: string; type?: string },
): void {
  const readable = request.method === "GET" || request.method === "HEAD";
  const {
    status,
    body,
    type = "text/plain; charset=utf-8",
  } = readable ? answer : { status: 405, body: "Only GET and HEAD\n" };
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    ...(!readable && { Allow: "GET, HEAD" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
