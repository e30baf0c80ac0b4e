// How one registry is reached: its TLS material, the proxies, the time limits, and the connections
// that are kept. A redirect elsewhere goes without our client certificate.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { ExchangeLimits } from "./contract.ts";
import type { ProxyFor } from "./proxy-rules.ts";
import { TunnelAgent } from "./proxy-tunnel.ts";
import { SocksAgent } from "./socks-tunnel.ts";

const socketsPerHostMax = 256;
const idleSocketsMax = 16;

export const exchangeLimits: ExchangeLimits = {
  connectTimeoutMs: 30_000,
  headersTimeoutMs: 60_000,
  commitTimeoutMs: 600_000,
  idleTimeoutMs: 60_000,
  bodyTimeoutMs: 120_000,
};

export interface TlsTrust extends SecureContextOptions {
  /** Off for insecure registries. */
  rejectUnauthorized: boolean;
}
export interface TransportParts {
  tls: TlsTrust;
  proxyFor?: ProxyFor;
  limits?: Partial<ExchangeLimits>;
  /** Redirects from https to http are followed, as everybody does beyond registries. */
  followsDown?: boolean;
}

export class Transport {
  readonly tls: TlsTrust;
  readonly proxyFor: ProxyFor;
  readonly limits: ExchangeLimits;
  readonly followsDown: boolean;
  #parts: TransportParts;
  /** By the proxy that they go through; "" is none. */
  #plain = new Map<string, HttpAgent>();
  #secure = new Map<string, HttpsAgent>();
  #stranger: Transport | undefined;
  /** Made once: reading the roots costs milliseconds. */
  #context: SecureContext | undefined;

  constructor(parts: TransportParts) {
    this.#parts = parts;
    this.tls = parts.tls;
    this.proxyFor = parts.proxyFor ?? (() => undefined);
    this.followsDown = parts.followsDown ?? false;
    this.limits = { ...exchangeLimits, ...parts.limits };
  }

  /** The same without what proves who we are: for hosts that we are sent to. */
  get stranger(): Transport {
    const { cert, key, pfx, passphrase, ...tls } = this.tls;
    if (cert === undefined && key === undefined && pfx === undefined) return this;
    return (this.#stranger ??= new Transport({ ...this.#parts, tls }));
  }

  /** A SOCKS proxy is none that plain requests could be sent to. */
  plainAgent(socks?: URL): HttpAgent {
    const known = this.#plain.get(socks?.href ?? "");
    if (known !== undefined) return known;
    const { connectTimeoutMs } = this.limits;
    const agent = socks
      ? new SocksAgent(socks, { ...keepAlive, connectTimeoutMs })
      : new HttpAgent(keepAlive);
    this.#plain.set(socks?.href ?? "", agent);
    return agent;
  }

  secureAgent(proxy: URL | undefined): HttpsAgent {
    const known = this.#secure.get(proxy?.href ?? "");
    if (known !== undefined) return known;
    const { rejectUnauthorized, ...material } = this.tls;
    this.#context ??= createSecureContext(material);
    const options = { ...keepAlive, rejectUnauthorized, secureContext: this.#context };
    const { connectTimeoutMs } = this.limits;
    const agent = proxy
      ? new TunnelAgent(proxy, { ...options, connectTimeoutMs })
      : new HttpsAgent(options);
    this.#secure.set(proxy?.href ?? "", agent);
    return agent;
  }

  /** Closes connections that are not in use; those in use end with their requests. */
  retire(): void {
    this.#stranger?.retire();
    for (const agent of [...this.#plain.values(), ...this.#secure.values()]) {
      for (const sockets of Object.values(agent.freeSockets)) {
        for (const socket of sockets ?? []) socket.destroy();
      }
      agent.maxFreeSockets = 0;
    }
  }
}

const keepAlive = {
  keepAlive: true,
  maxSockets: socketsPerHostMax,
  maxFreeSockets: idleSocketsMax,
};
