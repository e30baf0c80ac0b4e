// From a reference's registry to where it is spoken to: Docker Hub's real host, rules of the
// configuration (another location, mirrors, a ban), TLS with certs.d, proxies, and plain HTTP for
// registries that are insecure. Tokens and connections are kept from one operation to the next.

import { createHash } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import { GantryError, KeyedMutex, kindOf } from "../base/index.ts";
import { Authorization } from "./authorization.ts";
import { findCertificates } from "./certificates.ts";
import { isPlainAnswer } from "./connection-error.ts";
import type {
  Credentials,
  DistributionOptions,
  ExchangeLimits,
  MirrorRule,
  ProxySettings,
  RegistryRule,
} from "./contract.ts";
import { Gate } from "./gate.ts";
import { dropBody, exchange } from "./http-exchange.ts";
import { compileProxies, type ProxyFor, proxiesOfEnvironment } from "./proxy-rules.ts";
import { Registry, type RegistryParts } from "./registry.ts";
import {
  hostnameOf,
  InsecureHosts,
  mirrorRename,
  type Rename,
  renameBy,
  ruleFor,
} from "./registry-rules.ts";
import { SharedWork } from "./shared-work.ts";
import { Transport } from "./transport.ts";

const HUB_HOST = "registry-1.docker.io";
const unpacksMin = 2;
const transportsMax = 256;
const authorizationsMax = 128;
const lookupTimeoutMs = 2_000;
/** A mirror has to be quick, or the registry itself is asked. */
const mirrorLimits: Partial<ExchangeLimits> = {
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 15_000,
};
/** How long a mirror that did not answer in time is left alone. */
const mirrorRestMs = 30_000;

export interface OpenOptions {
  credentials?: Credentials;
  signal?: AbortSignal;
  /** What is wanted there: rules may be for single repositories. */
  repository?: string;
  /** The credentials are to be proved: no token of an earlier operation counts. */
  fresh?: boolean;
  /** Also without verified TLS, whatever the configuration says. */
  insecure?: boolean;
}
type Place = { host: string; rename?: Rename; insecure: boolean; isOwn: boolean };
type TransportOptions = { insecure: boolean; limits?: Partial<ExchangeLimits> };

export class Registries {
  readonly options: DistributionOptions;
  readonly downloads: Gate;
  readonly uploads: Gate;
  /** Layers that are being unpacked: more than there are processors only costs memory. */
  readonly unpacks = new Gate(Math.max(unpacksMin, availableParallelism()));
  /** One transfer of a layer at a time: others wait and find it there. */
  readonly transfers = new KeyedMutex();
  /** Layers on their way, which every pull that wants them shares. */
  readonly layers = new SharedWork();
  #insecure: InsecureHosts;
  #proxies: ProxySettings;
  #proxyFor: ProxyFor;
  #web: Transport | undefined;
  #transports = new Map<string, { stamp: string; transport: Transport }>();
  #authorizations = new Map<string, { transport: Transport; authorization: Authorization }>();
  /** Mirrors that did not answer, until when. */
  #resting = new Map<string, number>();

  constructor(options: DistributionOptions) {
    this.options = { ...options };
    this.downloads = new Gate(options.maxConcurrentDownloads);
    this.uploads = new Gate(options.maxConcurrentUploads);
    this.#insecure = new InsecureHosts(options.insecureRegistries);
    this.#proxies = options.proxies ?? proxiesOfEnvironment(process.env);
    this.#proxyFor = compileProxies(this.#proxies);
  }

  /** Takes up changed options; what is under way ends as it began. */
  configure(changes: Partial<DistributionOptions>): void {
    Object.assign(this.options, changes);
    const { options } = this;
    this.downloads.limit = options.maxConcurrentDownloads;
    this.uploads.limit = options.maxConcurrentUploads;
    this.#insecure = new InsecureHosts(options.insecureRegistries);
    this.#proxies = options.proxies ?? proxiesOfEnvironment(process.env);
    this.#proxyFor = compileProxies(this.#proxies);
    this.#web?.retire();
    this.#web = undefined;
    for (const { transport } of this.#transports.values()) transport.retire();
    this.#transports.clear();
    this.#authorizations.clear();
    this.#resting.clear();
  }

  /** The proxy that leads to a URL, if one does. */
  proxyFor(url: URL): URL | undefined {
    return this.#proxyFor(url);
  }

  /** GET of any address by the daemon's proxies, for builds; nothing of a registry's goes along.
   * The body is the caller's to read or drop. */
  async get(
    url: URL,
    o: { headers: Record<string, string>; signal: AbortSignal; followRedirects?: boolean },
  ): Promise<IncomingMessage> {
    this.#web ??= new Transport({
      ...{ tls: { rejectUnauthorized: true }, proxyFor: this.#proxyFor, followsDown: true },
      ...(this.options.limits && { limits: this.options.limits }),
    });
    const headers = { "User-Agent": "gantry", Accept: "*/*", ...o.headers };
    const request = { ...o, method: "GET", url, headers, transport: this.#web };
    return (await exchange(request)).response;
  }

  /** For `info`. */
  describe(): {
    mirrors: readonly string[];
    insecureCidrs: readonly string[];
    insecureNames: readonly string[];
    rules: readonly RegistryRule[];
    proxies: ProxySettings;
  } {
    return {
      mirrors: this.options.mirrors,
      insecureCidrs: this.#insecure.cidrs,
      insecureNames: this.#insecure.names,
      rules: this.options.registries ?? [],
      proxies: this.#proxies,
    };
  }

  /** Whether `host` ("name", "name:port", "[::1]:5000") may be spoken to without verified TLS. */
  isInsecure(host: string): boolean {
    return this.#insecure.has(host);
  }

  /** As docker: also a name whose address is in an insecure range, so every loopback name. */
  async #resolvesInsecure(host: string): Promise<boolean> {
    if (this.isInsecure(host)) return true;
    const name = hostnameOf(host);
    // Behind a proxy names may not be known here.
    const proxied = this.#proxyFor(new URL(`https://${host}/`)) !== undefined;
    if (isIP(name) !== 0 || proxied || host === HUB_HOST) return false;
    const timeout = AbortSignal.timeout(lookupTimeoutMs);
    const found = await Promise.race([
      lookup(name, { all: true }).catch(() => []),
      new Promise<[]>((resolve) => {
        timeout.addEventListener("abort", () => resolve([]), { once: true });
      }),
    ]);
    return found.some(({ address }) => this.#insecure.hasAddress(address));
  }

  /** The registry of a reference ("docker.io", "localhost:5000"); an insecure one has answered
   * once. Throws forbidden for one that is blocked. */
  async open(registry: string, o: OpenOptions = {}): Promise<Registry> {
    const { signal, repository } = o;
    const place = await this.#placeOf(registry, repository);
    const { host, rename, isOwn } = place;
    const insecure = place.insecure || o.insecure === true;
    const transport = await this.#transportOf(host, { insecure });
    const credentials = isOwn ? (o.credentials ?? {}) : {};
    const make = (base: URL): Registry => {
      const { userAgent } = this.options;
      const authorization = o.fresh
        ? new Authorization(credentials, { transport, userAgent })
        : this.#authorizationFor(base, transport, credentials);
      const parts: RegistryParts = { base, transport, authorization, userAgent };
      return new Registry({ ...parts, ...(rename && { rename }), ...(signal && { signal }) });
    };
    const secure = new URL(`https://${host}/`);
    if (!insecure) return make(secure);
    const plain = new URL(`http://${host}/`);
    try {
      await ping(secure, transport, signal);
      return make(secure);
    } catch (error) {
      if (kindOf(error) === "cancelled" || signal?.aborted) throw error;
      if (!isPlainAnswer((error as Error).cause)) await ping(plain, transport, signal);
      return make(plain);
    }
  }

  /** Mirrors to be asked before the registry itself, best first. */
  async mirrors(registry: string, o: OpenOptions = {}): Promise<Registry[]> {
    const rule = this.#ruleFor(registry, o.repository);
    const own = registry === "docker.io" ? this.options.mirrors.map(hubMirror) : [];
    const now = Date.now();
    const all = [...own, ...(rule?.mirrors ?? [])].filter(
      ({ url }) => (this.#resting.get(url) ?? 0) <= now,
    );
    const place = rule ?? wholeRegistry(registry);
    return Promise.all(all.map((mirror) => this.#openMirror(registry, place, mirror, o)));
  }

  async #openMirror(
    registry: string,
    rule: RegistryRule,
    mirror: MirrorRule,
    o: OpenOptions,
  ): Promise<Registry> {
    const { signal } = o;
    const base = new URL("/", mirror.url);
    const insecure = mirror.insecure || this.isInsecure(base.host);
    const limits = { ...mirrorLimits, ...this.options.limits };
    const transport = await this.#transportOf(base.host, { insecure, limits });
    const credentials = await credentialsOf(mirror);
    const resolveTag = async (repository: string, tag: string): Promise<string> => {
      const upstream = await this.open(registry, o);
      const told = await upstream.manifestDigest(repository, tag);
      return told?.digest ?? (await upstream.manifest(repository, tag)).digest;
    };
    return new Registry({
      base,
      transport,
      authorization: this.#authorizationFor(base, transport, credentials),
      userAgent: this.options.userAgent,
      rename: mirrorRename(rule, mirror),
      onTimeout: () => this.#resting.set(mirror.url, Date.now() + mirrorRestMs),
      hasFallback: true,
      ...(mirror.namespace && { namespace: registry }),
      ...(mirror.digestsOnly && { resolveTag }),
      ...(signal && { signal }),
    });
  }

  #ruleFor(registry: string, repository: string | undefined): RegistryRule | undefined {
    const rule = ruleFor(this.options.registries ?? [], registry, repository);
    if (!rule?.blocked) return rule;
    throw new GantryError(
      "forbidden",
      `registry ${rule.prefix} is blocked by the configuration of this host`,
    );
  }

  async #placeOf(registry: string, repository: string | undefined): Promise<Place> {
    const rule = this.#ruleFor(registry, repository);
    const own = registry === "docker.io" ? HUB_HOST : registry;
    const [host = "", ...path] = (rule?.location ?? own).split("/");
    const insecure = rule?.insecure || (await this.#resolvesInsecure(host));
    if (rule?.location === undefined) return { host, insecure, isOwn: true };
    const rename = renameBy(rule, path.filter((part) => part !== "").join("/"));
    return { host, insecure, rename, isOwn: host === own };
  }

  /** The same as before, with its connections, unless a certificate has changed. */
  async #transportOf(host: string, { insecure, limits }: TransportOptions): Promise<Transport> {
    const key = `${host} ${insecure} ${limits !== undefined}`;
    const { stamp, read } = await findCertificates(this.options.certificateFolders, host);
    const known = this.#transports.get(key);
    if (known?.stamp === stamp) return known.transport;
    const transport = new Transport({
      tls: { rejectUnauthorized: !insecure, ...(await read()) },
      proxyFor: this.#proxyFor,
      limits: { ...this.options.limits, ...limits },
    });
    known?.transport.retire();
    this.#transports.set(key, { stamp, transport });
    const [oldest] = this.#transports;
    if (this.#transports.size > transportsMax && oldest !== undefined) {
      oldest[1].transport.retire();
      this.#transports.delete(oldest[0]);
    }
    return transport;
  }

  #authorizationFor(base: URL, transport: Transport, credentials: Credentials): Authorization {
    const secret = createHash("sha256").update(JSON.stringify(credentials)).digest("base64");
    const key = `${base.origin} ${secret}`;
    const known = this.#authorizations.get(key);
    // The last one used is the last to go.
    this.#authorizations.delete(key);
    const { userAgent } = this.options;
    const authorization =
      known?.transport === transport
        ? known.authorization
        : new Authorization(credentials, { transport, userAgent });
    this.#authorizations.set(key, { transport, authorization });
    const [oldest] = this.#authorizations.keys();
    if (this.#authorizations.size > authorizationsMax && oldest !== undefined) {
      this.#authorizations.delete(oldest);
    }
    return authorization;
  }
}

/** registry-mirrors: nothing but an address. */
function hubMirror(url: string): MirrorRule {
  return { url, rewrite: [], insecure: false, namespace: false, digestsOnly: false };
}

function wholeRegistry(prefix: string): RegistryRule {
  return { prefix, mirrors: [], insecure: false, blocked: false };
}

async function credentialsOf({ username, passwordFile }: MirrorRule): Promise<Credentials> {
  if (username === undefined || passwordFile === undefined) return {};
  try {
    return { username, password: (await readFile(passwordFile, "utf8")).replace(/\r?\n$/, "") };
  } catch (cause) {
    throw new GantryError("invalid", `cannot read the password of a mirror: ${passwordFile}`, {
      cause,
    });
  }
}

/** Any answer will do: a 401 is one. */
async function ping(base: URL, transport: Transport, signal?: AbortSignal): Promise<void> {
  const url = new URL("/v2/", base);
  const { response } = await exchange({
    method: "GET",
    url,
    transport,
    // Where it redirects to says nothing of whether it is there.
    followRedirects: false,
    ...(signal && { signal }),
  });
  dropBody(response);
}
