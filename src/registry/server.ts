// The registry as a server: HTTP in front of the content, with everybody who is asked or told about
// a request around it. No state is kept here: any number of processes serve one store.

import { randomUUID } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { GantryError, silentLogger } from "../base/index.ts";
import { scheduleCollector } from "./collector-schedule.ts";
import { createContent } from "./content.ts";
import type { Grant, RegistryContent, RegistryEvent, RequestFacts } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { parseName } from "./names.ts";
import { defaultGraceMs, defaultLimits, type RegistryOptions } from "./options.ts";
import { LazyFacts } from "./request-facts.ts";
import { stepFor } from "./routes/table.ts";
import { parseTarget, type Target } from "./targets.ts";

const shutdownMsDefault = 30_000;
const keepAliveMs = 75_000;
const headersMsMax = 60_000;

export interface RegistryServer {
  /** For a server of the caller's own. */
  handler: RequestListener;
  /** Resolves with the address when connections are accepted. Port 0 chooses one. */
  listen(address: {
    host?: string;
    port?: number;
    path?: string;
    fd?: number;
  }): Promise<AddressInfo | string>;
  /** Accepts no more; transfers have until the deadline [30 s] to end. Observers are closed, the
   * store is its owner's. */
  close(options?: { deadlineMs?: number }): Promise<void>;
  content: RegistryContent;
}

const EVERYBODY: Grant = { subject: "", allows: () => true };
const COMMON_HEADERS = {
  "Docker-Distribution-Api-Version": "registry/2.0",
  "X-Content-Type-Options": "nosniff",
};

/** A registry over `options.store`. Nothing listens before listen(). */
export function createRegistry(options: RegistryOptions): RegistryServer {
  const graceMs = options.graceMs ?? defaultGraceMs;
  const inner = createContent(options.store, {
    renewAfterMs: graceMs / 4,
  });
  const content = options.wrapContent?.(inner) ?? inner;
  const front = new Front(options, content);
  const servers: Server[] = [];
  const endCollections =
    options.collect === undefined || options.readOnly
      ? undefined
      : scheduleCollector(
          options.store,
          { graceMs, ...options.collect },
          { logger: options.logger ?? silentLogger },
        );
  let closing: Promise<void> | undefined;
  return {
    handler: front.handler,
    content,
    listen: async (address) => {
      if (closing !== undefined) throw new GantryError("conflict", "the registry is closed");
      const server = createHttpServer(options, front.handler);
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ backlog: 1024, ...address }, () => {
          server.off("error", reject);
          resolve();
        });
      });
      return server.address() ?? "";
    },
    close: ({ deadlineMs = shutdownMsDefault } = {}) => {
      front.leave(() => {
        for (const server of servers) server.closeIdleConnections();
      });
      closing ??= closeAll(servers, deadlineMs).then(async () => {
        await endCollections?.();
        await Promise.all((options.observers ?? []).map((observer) => observer.close?.()));
      });
      return closing;
    },
  };
}

function createHttpServer(options: RegistryOptions, handler: RequestListener): Server {
  const limits = { ...defaultLimits, ...options.limits };
  const settings = {
    keepAlive: true,
    noDelay: true,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headersMsMax,
    requestTimeout: 0, // an upload may take hours, as long as bytes come
    connectionsCheckingInterval: 10_000,
  };
  const server =
    options.tls === undefined
      ? createServer(settings, handler)
      : createTlsServer({ ...settings, ...options.tls.serverOptions }, handler);
  if (options.tls !== undefined) options.tls.attach?.(server as ReturnType<typeof createTlsServer>);
  server.on("checkContinue", handler); // the body's reader sends 100 Continue
  server.on("checkExpectation", handler);
  server.timeout = limits.idleMsMax;
  server.maxConnections = limits.connectionsMax;
  const { onConnection } = options;
  const connected = options.tls === undefined ? "connection" : "secureConnection";
  if (onConnection) server.on(connected, (socket: Socket) => onConnection(socket));
  return server;
}

async function closeAll(servers: Server[], deadlineMs: number): Promise<void> {
  const ended = servers.map(
    (server) => new Promise<void>((resolve) => server.close(() => resolve())),
  );
  for (const server of servers) server.closeIdleConnections();
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, deadlineMs);
  await Promise.all(ended);
  clearTimeout(timer);
}

/** From a request to its answer. */
class Front {
  #closeIdle: (() => void) | undefined;
  readonly #options: RegistryOptions;
  readonly #content: RegistryContent;
  readonly #limits;
  readonly #logger;

  constructor(options: RegistryOptions, content: RegistryContent) {
    this.#options = options;
    this.#content = content;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#logger = options.logger ?? silentLogger;
  }

  /** From now on a connection ends with the request that is on it. */
  leave(closeIdle: () => void): void {
    this.#closeIdle = closeIdle;
  }

  readonly handler = (request: IncomingMessage, response: ServerResponse): void => {
    const facts = new LazyFacts(request, this.#options);
    const exchange = new Exchange(request, response, {
      facts,
      content: this.#content,
      limits: this.#limits,
      announce: (from, event) => this.#announce(from, event),
    });
    response.on("error", () => {}); // the client left; whoever writes learns it from the stream
    request.on("error", () => {});
    for (const [name, value] of Object.entries(COMMON_HEADERS)) response.setHeader(name, value);
    if (this.#closeIdle) response.setHeader("Connection", "close");
    response.once("close", () => this.#closeIdle?.());
    const [path = "/"] = (request.url ?? "/").split("?", 1);
    const finished = this.#watch(exchange, path);
    this.#answer(exchange, path)
      .catch((error) => exchange.fail(error, this.#logger))
      .finally(() => {
        finished?.();
      });
  };

  async #answer(exchange: Exchange, path: string): Promise<void> {
    if (path !== "/v2" && !path.startsWith("/v2/")) return await this.#elsewhere(exchange, path);
    const method = exchange.request.method ?? "";
    const target = this.#inNamespace(parseTarget(path), exchange);
    if (target === undefined) throw nothingThere();
    const step = stepFor(target, method);
    if ("allowed" in step) {
      throw unsupported("the operation is unsupported", { Allow: step.allowed.join(", ") });
    }
    exchange.grant =
      (await this.#options.gatekeeper?.admit(exchange.facts, step.wanted)) ?? EVERYBODY;
    const { readOnly = false, deleteEnabled = true } = this.#options;
    if (readOnly && step.effect !== "read") throw unsupported("the registry is read-only");
    if (step.effect === "delete" && !deleteEnabled) throw unsupported("deleting is disabled");
    await step.run(exchange);
  }

  /** A cache of several registries is told with ?ns= which of them is meant. */
  #inNamespace(target: Target | undefined, exchange: Exchange): Target | undefined {
    if (target === undefined || !("name" in target) || !this.#content.nameIn) return target;
    const namespace = exchange.query.get("ns");
    const name = namespace ? this.#content.nameIn(namespace, target.name) : undefined;
    return name === undefined ? target : { ...target, name: parseName(name) };
  }

  async #elsewhere(exchange: Exchange, path: string): Promise<void> {
    const { request, response, facts } = exchange;
    const route = this.#options.extraRoutes?.find(({ path: own }) =>
      own.endsWith("/*") ? path.startsWith(own.slice(0, -1)) : own === path,
    );
    if (route === undefined) throw nothingThere();
    await route.handle(request, response, facts, ({ subject = "", errorCode }) => {
      exchange.subject = subject;
      exchange.errorCode = errorCode;
    });
  }

  #announce(
    { facts, grant }: Exchange,
    event: Omit<RegistryEvent, "id" | "at" | "request" | "subject">,
  ): void {
    const observers = (this.#options.observers ?? []).filter(
      ({ event: wants, actions }) => wants && (actions?.includes(event.action) ?? true),
    );
    if (observers.length === 0) return;
    const whole: RegistryEvent = {
      ...event,
      id: randomUUID(),
      at: new Date(),
      request: settled(facts),
      subject: grant?.subject ?? "",
    };
    for (const observer of observers) observer.event?.(whole);
  }

  /** Begins to measure when somebody wants to know; returns what to call at the end. */
  #watch(exchange: Exchange, path: string): (() => void) | undefined {
    const observers = (this.#options.observers ?? []).filter(({ finished }) => finished);
    if (observers.length === 0) return undefined;
    const { request, response, facts } = exchange;
    const { socket } = request;
    const [readBefore, writtenBefore] = [socket.bytesRead, socket.bytesWritten];
    const begun = performance.now();
    const route = routeName(path);
    return () => {
      const summary = {
        request: settled(facts),
        route,
        status: response.headersSent ? response.statusCode : 499, // the client left before an answer
        ...(exchange.errorCode === undefined ? {} : { errorCode: exchange.errorCode }),
        subject: exchange.grant?.subject ?? exchange.subject,
        bytesIn: socket.bytesRead - readBefore,
        bytesOut: socket.bytesWritten - writtenBefore,
        seconds: (performance.now() - begun) / 1000,
      };
      for (const observer of observers) observer.finished?.(summary);
    };
  }
}

/** The facts as plain data: an observer may keep them after the request is gone. */
function settled(facts: RequestFacts): RequestFacts {
  const { id, method, url, authorization, remoteAddress, userAgent, clientCertificate } = facts;
  return {
    id,
    method,
    url,
    remoteAddress,
    userAgent,
    ...(authorization === undefined ? {} : { authorization }),
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
  };
}

function routeName(path: string): string {
  if (!path.startsWith("/v2")) return "other";
  try {
    return parseTarget(path)?.route ?? "unknown";
  } catch {
    return "unknown";
  }
}

function unsupported(message: string, headers: Record<string, string> = {}): RegistryError {
  return new RegistryError("UNSUPPORTED", message, { headers });
}

function nothingThere(): RegistryError {
  return new RegistryError("UNSUPPORTED", "there is nothing at this address", { status: 404 });
}
