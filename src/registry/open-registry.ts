// A whole registry from its configuration: store, content, access, what watches it, the page and
// the search, each made once and given to the others. `gantry registry serve` is a thin shell
// around it, and programs that embed a registry use it the same way:
//
//   await using registry = await openRegistry({ addr: ["127.0.0.1:0"], root: "/srv/images" });
//   console.log(registry.addresses[0]);

import { GantryError, type Logger, Rollback, silentLogger } from "../base/index.ts";
import {
  certificateSubject,
  createAccess,
  createTls,
  limitSizes,
  type RegistryAccess,
  type RegistryTls,
} from "./access/index.ts";
import { PullThroughCache } from "./cache.ts";
import { type ScheduleOptions, scheduleCollector } from "./collector-schedule.ts";
import { parseAddress, type RegistryConfig } from "./config.ts";
import type { ExtraRoute, ObjectStore, Observer, RegistryContent } from "./contract.ts";
import { openFileStore } from "./file-store.ts";
import {
  type AuditLog,
  createAuditLog,
  createHealth,
  createMetrics,
  createWebhooks,
  type Health,
  healthRoutes,
  type Metrics,
  metricsRoute,
  startDebugServer,
} from "./observe/index.ts";
import { openS3Store } from "./open-s3-store.ts";
import type { RegistryOptions } from "./options.ts";
import { checkRoot } from "./registry-root.ts";
import { createSearchRoutes, SearchIndex } from "./search.ts";
import { createRegistry, type RegistryServer } from "./server.ts";
import { createWebRoutes } from "./web.ts";

export interface OpenRegistry extends AsyncDisposable {
  /** "http://127.0.0.1:5000", one for each that it listens on. */
  readonly addresses: readonly string[];
  readonly content: RegistryContent;
  /** Of the debug server, where there is one. */
  readonly debugAddress?: string;
  /** Reads certificates again and opens log files anew. */
  reload(): Promise<void>;
  /** Lets transfers end, then closes everything. */
  close(): Promise<void>;
}

const shutdownMsDefault = 30_000;
const everyMsDefault = 24 * 3600 * 1000; // between two runs of the collector

/** Listens when it returns. Throws GantryError invalid or unavailable; nothing stays open then. */
export async function openRegistry(
  config: RegistryConfig,
  { logger = silentLogger }: { logger?: Logger } = {},
): Promise<OpenRegistry> {
  const undo = new Rollback((what, error) => logger.error(`Failed to close ${what}`, { error }));
  try {
    return await open(config, logger, undo);
  } catch (error) {
    await undo[Symbol.asyncDispose]();
    throw error;
  }
}

function scheduleOf({ collect = {} }: RegistryConfig): ScheduleOptions {
  const { everyMs = everyMsDefault, untagged = false, ...ages } = collect;
  return { everyMs, removeUntagged: untagged, ...ages };
}

/** The store that a configuration names; the collector opens it without a server. */
export async function openStore({ root, s3 }: RegistryConfig): Promise<ObjectStore> {
  if (s3 !== undefined) return await openS3Store(s3);
  if (root === undefined) {
    throw new GantryError("invalid", "Say where images are kept: root (a folder) or s3 (a bucket)");
  }
  await checkRoot(root);
  return await openFileStore(root);
}

interface Parts {
  access: RegistryAccess;
  health: Health;
  metrics?: Metrics;
  audit?: AuditLog;
  tls?: RegistryTls;
  cache?: PullThroughCache;
  /** What is in the store, without asking other registries for more. */
  stored?: RegistryContent;
}

async function open(config: RegistryConfig, logger: Logger, undo: Rollback): Promise<OpenRegistry> {
  const bare = await openStore(config);
  undo.defer("the store", () => bare.close());
  let stopping = false;
  const metrics = config.debug || config.metrics ? createMetrics() : undefined;
  const store = metrics?.instrumentStore(bare, config.s3 ? "s3" : "file") ?? bare;
  const access = await createAccess(config.access ?? {}, { logger });
  const readOnly = config.readOnly ?? false;
  const health = createHealth({ store, readOnly: () => readOnly, stopping: () => stopping });
  const parts: Parts = { access, health, ...(metrics && { metrics }) };
  if (config.tls) {
    const tls = (parts.tls = await createTls(config.tls, { logger }));
    undo.defer("the certificates", () => tls.close());
  }
  const server = await assemble(config, parts, store, logger, undo);
  if (!readOnly) {
    const end = scheduleCollector(store, scheduleOf(config), {
      logger,
      ...(metrics && { metrics }),
      ...(parts.cache && { before: parts.cache }),
    });
    undo.defer("the collector", end);
  }
  const close = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await server.close({ deadlineMs: config.shutdownMs ?? shutdownMsDefault });
    await undo[Symbol.asyncDispose]();
  };
  const debugAddress = await startDebug(config, parts, undo);
  const addresses: string[] = [];
  undo.defer("the server", () => server.close({ deadlineMs: 0 }));
  for (const written of config.addr ?? ["127.0.0.1:5000"]) {
    addresses.push(await listen(server, written, config.tls ? "https" : "http"));
  }
  return {
    addresses,
    content: server.content,
    ...(debugAddress && { debugAddress }),
    reload: () => reload(parts),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function assemble(
  config: RegistryConfig,
  parts: Parts,
  store: ObjectStore,
  logger: Logger,
  undo: Rollback,
): Promise<RegistryServer> {
  const { access, metrics, tls } = parts;
  const observers: Observer[] = [];
  if (metrics) observers.push(metrics);
  // The server closes its observers; until there is one, the rollback does.
  const watch = (what: string, observer: Observer): void => {
    observers.push(observer);
    undo.defer(what, async () => await observer.close?.());
  };
  if (config.audit) {
    parts.audit = await createAuditLog(config.audit, { logger });
    watch("the audit log", parts.audit);
    metrics?.watchAudit(parts.audit);
  }
  if (config.webhooks) {
    const webhooks = await createWebhooks(config.webhooks, { logger });
    watch("the webhooks", webhooks);
    metrics?.watchWebhooks(webhooks);
  }
  const routes: ExtraRoute[] = [];
  const { manifestBytesMax, blobBytesMax, ...limits } = config.limits ?? {};
  const sizes = {
    ...(manifestBytesMax && { manifestBytesMax }),
    ...(blobBytesMax && { blobBytesMax }),
  };
  const options: RegistryOptions = {
    store,
    gatekeeper: access.gatekeeper,
    observers,
    extraRoutes: routes,
    wrapContent: (content) => {
      parts.stored = content;
      const limited = limitSizes(cached(config, parts, { content, store, logger, undo }), sizes);
      return metrics?.instrumentContent(limited) ?? limited;
    },
    limits: { ...limits, ...(manifestBytesMax && { manifestBytesMax }) },
    proxies: access.proxies,
    onConnection: (socket) => access.limits.pace(socket),
    readOnly: config.readOnly ?? false,
    deleteEnabled: config.delete ?? true,
    logger,
    ...(config.collect?.graceMs !== undefined && { graceMs: config.collect.graceMs }),
    ...(tls && { tls, certificateSubject }),
  };
  const server = createRegistry(options);
  routes.push(...routesOf(config, parts, server.content, observers));
  return server;
}

/** The content with the names of other registries in it, where the configuration has some. */
function cached(
  config: RegistryConfig,
  parts: Parts,
  {
    content,
    store,
    logger,
    undo,
  }: { content: RegistryContent; store: ObjectStore; logger: Logger; undo: Rollback },
): RegistryContent {
  if (config.cache === undefined) return content;
  const cache = new PullThroughCache({ content, store, options: config.cache, logger });
  parts.cache = cache;
  undo.defer("the cache", () => cache.close());
  return cache;
}

/** Everything outside /v2/. */
function routesOf(
  config: RegistryConfig,
  { access, health, metrics, stored }: Parts,
  content: RegistryContent,
  observers: Observer[],
): ExtraRoute[] {
  const { gatekeeper } = access;
  const routes = [...access.routes, ...healthRoutes(health)];
  if (config.metrics && metrics) routes.push(metricsRoute(metrics, gatekeeper));
  if (config.search !== false) {
    const index = new SearchIndex(stored ?? content, config.search);
    observers.push(index.observer);
    routes.push(...createSearchRoutes(index, gatekeeper));
  }
  if (config.web !== false) {
    const authentication = config.access?.authentication;
    const realm = authentication?.type === "external-token" ? authentication.realm : undefined;
    const page = createWebRoutes(config.web ?? {}, {
      content,
      gatekeeper,
      readOnly: config.readOnly ?? false,
      canDelete: config.delete ?? true,
      hasUsers: authentication !== undefined && authentication.type !== "certificate",
      ...(realm && { tokenRealm: realm }),
    });
    routes.push(...page);
  }
  return routes;
}

async function startDebug(
  { debug }: RegistryConfig,
  { metrics, health }: Parts,
  undo: Rollback,
): Promise<string | undefined> {
  if (debug === undefined || metrics === undefined) return undefined;
  const { host, port } = addressOf(debug.addr);
  const server = await startDebugServer({ host, port }, { metrics, health });
  undo.defer("the debug server", () => server.close());
  return `http://${shownHost(host)}:${server.port}`;
}

async function listen(server: RegistryServer, written: string, scheme: string): Promise<string> {
  const { host, port } = addressOf(written);
  let bound: Awaited<ReturnType<RegistryServer["listen"]>>;
  try {
    bound = await server.listen({ host, port });
  } catch (cause) {
    const why = (cause as { code?: string }).code === "EADDRINUSE" ? "it is in use" : undefined;
    const message = `Cannot listen on ${written}: ${why ?? (cause as Error).message}`;
    throw new GantryError("unavailable", message, { cause });
  }
  if (typeof bound === "string") return bound;
  return `${scheme}://${shownHost(bound.address)}:${bound.port}`;
}

function addressOf(written: string): { host: string; port: number } {
  const address = parseAddress(written);
  if (address === undefined) {
    throw new GantryError("invalid", `${JSON.stringify(written)} is not an address HOST:PORT`);
  }
  return address;
}

function shownHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

async function reload({ tls, audit }: Parts): Promise<void> {
  await Promise.all([tls?.reload(), audit?.reopen()]);
}
