// The door itself: node:http requests and hijacked connections in, replies out. Time limits are
// our own: a request may last for ever (wait, logs -f, events), only its headers may not.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { TlsOptions } from "node:tls";
import { errnoOf, GantryError, type Logger, messageOf } from "../base/index.ts";
import type { ApiOptions, Handlers } from "./call.ts";
import { errorBody, statusOf } from "./errors.ts";
import { guarded } from "./guard.ts";
import { installHijack } from "./hijack.ts";
import { replyOverResponse } from "./hijack-response.ts";
import type { OpenRequests } from "./open-requests.ts";
import { type PlainReply, send } from "./reply.ts";
import { commonHeaders, dispatch, findRoute, isStream } from "./router.ts";

const headersTimeoutMs = 60_000;
/** How long a silent kept-alive connection stays open: docker's clients pool connections. */
const keepAliveTimeoutMs = 5 * 60_000;
/** How long requests in flight may take to answer when the daemon ends. */
const closeGraceMs = 2_000;
/** How long the rest of a refused body is read before the connection may close. The answer is out
 * by then: what a slow client would lose is only that it can read it. */
const drainMs = 30_000;
/** X-Registry-Config carries credentials of every registry and grows large. */
const headerBytesMax = 512 * 1024;

export type ServerOptions = ApiOptions & { log: Logger; requests: OpenRequests };

export interface ApiServer {
  /** An HTTP server that is not listening yet. */
  server: Server;
  /** Stops listening, lets requests in flight answer for a moment, then ends every connection:
   * streams (events, logs -f, attach) have no end of their own to wait for. */
  close(): Promise<void>;
}

/** Makes a server for one listening address. */
export function createApiServer(
  handlers: Handlers,
  options: ServerOptions & { tls?: TlsOptions },
): ApiServer {
  const answering = new Set<Promise<void>>();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const done = serve(handlers, options, request, response).finally(() => answering.delete(done));
    answering.add(done);
  };
  const limits = {
    requestTimeout: 0,
    headersTimeout: headersTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    maxHeaderSize: headerBytesMax,
    noDelay: true,
  };
  const server =
    options.tls === undefined
      ? createServer(limits, listener)
      : (createTlsServer({ ...limits, ...options.tls }, listener) as unknown as Server);
  server.timeout = 0;
  // Node ends such a connection without an alert: only here one learns why.
  server.on("tlsClientError", (error: Error & { code?: string }, socket: Socket) => {
    options.log.info(`TLS handshake error from ${socket.remoteAddress ?? "a client that left"}`, {
      error: error.code ?? error.message,
    });
  });
  installHijack(server, handlers, options);
  const connections = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (connections.has(socket)) return; // given back by a detached exec
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
  });
  return { server, close: () => closeServer(server, connections, answering) };
}

async function closeServer(
  server: Server,
  connections: ReadonlySet<Socket>,
  answering: ReadonlySet<Promise<void>>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  let grace: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    grace = setTimeout(resolve, closeGraceMs);
  });
  await Promise.race([Promise.all(answering), over]);
  clearTimeout(grace);
  for (const socket of connections) socket.destroySoon();
  await closed;
}

/** Resolves when the answer is out, or is a stream that has begun. Never rejects. */
async function serve(
  handlers: Handlers,
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { log } = options;
  const abort = new AbortController();
  const answered = options.requests.begin(request);
  response.on("close", () => {
    answered(response.statusCode);
    if (!response.writableFinished) abort.abort();
  });
  response.on("error", () => {});
  for (const [name, value] of Object.entries(commonHeaders(options))) {
    response.setHeader(name, value);
  }
  const routed = findRoute(request.method ?? "GET", request.url ?? "/");
  try {
    const { signal } = abort;
    const reply = await guarded(
      options.guard,
      { request, body: request, isStream: isStream(routed) },
      (body) => dispatch(routed, handlers, options, { request, body, signal, upgrade: false }),
    );
    if (reply.kind === "hijack") return void replyOverResponse(request, response, reply);
    if (reply.kind === "websocket") throw new GantryError("invalid", "not a WebSocket");
    if (reply.kind === "tunnel") throw new GantryError("invalid", "not an upgrade");
    const sent = send(response, reply);
    if (endless(reply)) void sent.catch(() => response.destroy());
    else await sent;
  } catch (error) {
    await fail(request, response, error, { log, path: routed.path, signal: abort.signal });
  }
}

/** Answers that may go on for ever, and have sent their headers already. */
function endless(reply: PlainReply): boolean {
  if (reply.kind === "documents") return reply.headersFirst;
  return reply.kind === "later" || reply.kind === "bytes" || reply.kind === "blocks";
}

/** Answers with docker's error document, or cuts the connection when headers are out. */
async function fail(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  { log, path, signal }: { log: Logger; path: string; signal: AbortSignal },
): Promise<void> {
  const status = statusOf(error);
  // What fails because the client has gone is no failure of the daemon.
  const isOurs = status >= 500 && status !== 501 && status !== 503 && !signal.aborted;
  const level = isOurs ? "error" : "debug";
  const errno = errnoOf(error);
  const what = `Handler for ${request.method} ${path} returned error: ${messageOf(error)}`;
  log[level](what, { status, ...(errno === undefined ? {} : { errno }) });
  if (response.headersSent || response.destroyed) return void response.destroy();
  if (status === 304) return void response.writeHead(304).end();
  const body = Buffer.from(`${JSON.stringify(errorBody(error))}\n`);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": body.length,
  });
  if (request.method !== "HEAD") response.write(body);
  await drain(request);
  response.end();
}

/** A client that is still sending its body would take a closed connection for the answer. */
async function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return;
  await new Promise<void>((resolve) => {
    const limit = setTimeout(resolve, drainMs);
    const done = (): void => {
      clearTimeout(limit);
      resolve();
    };
    request.on("end", done);
    request.on("close", done);
    request.resume();
  });
}
