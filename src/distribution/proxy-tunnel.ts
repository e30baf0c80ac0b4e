// An https agent whose connections go through a proxy: CONNECT (or SOCKS5), then TLS with the real
// host inside, so the proxy sees neither paths nor credentials. Its own because Node's agents
// decide by rules of theirs (no CIDR ranges) and put no deadline on the proxy's answer.

import { request as httpRequest, type IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request as httpsRequest } from "node:https";
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { GantryError } from "../base/index.ts";
import { isSocks, openSocks } from "./socks-tunnel.ts";

/** An error comes without a stream, whatever Node's types say. */
type Callback = (error: Error | null, stream: Duplex) => void;
type Target = ConnectionOptions & { host?: string; port?: number | string };

export class TunnelAgent extends Agent {
  #proxy: URL;
  #timeoutMs: number;

  constructor(proxy: URL, options: AgentOptions & { connectTimeoutMs: number }) {
    super(options);
    this.#proxy = proxy;
    this.#timeoutMs = options.connectTimeoutMs;
  }

  override createConnection(target: Target, callback?: Callback): undefined {
    this.#open(target).then(
      (socket) => {
        const { host = "", path: _, ...tls } = target;
        // TLS names no addresses; the certificate is checked against `host` then.
        const servername = tls.servername || (isIP(host) === 0 ? host : "");
        callback?.(null, connectTls({ ...tls, host, servername, socket }));
      },
      (error) => (callback as ((error: Error) => void) | undefined)?.(error as Error),
    );
    return undefined;
  }

  #open({ host = "", port }: Target): Promise<Socket> {
    return isSocks(this.#proxy)
      ? openSocks(this.#proxy, { host, port: Number(port) }, this.#timeoutMs)
      : openTunnel(this.#proxy, `${host}:${port}`, this.#timeoutMs);
  }
}

/** What to send to an HTTP proxy so that it lets us in. */
export function proxyHeaders({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "Proxy-Authorization": `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** Where a proxy itself is connected to. */
export function proxyAddress(proxy: URL): { host: string; port: number } {
  const host = proxy.hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: Number(proxy.port) || (proxy.protocol === "https:" ? 443 : 80) };
}

function openTunnel(proxy: URL, authority: string, timeoutMs: number): Promise<Socket> {
  const target = /:.*:/.test(authority) ? bracketed(authority) : authority;
  const request = proxy.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request({
      ...proxyAddress(proxy),
      method: "CONNECT",
      path: target,
      headers: { Host: target, ...proxyHeaders(proxy) },
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const refuse = (response: IncomingMessage): GantryError =>
      new GantryError(
        "internal",
        response.statusMessage || `proxy answered ${response.statusCode}`,
        {
          detail: { proxy: proxy.host, status: response.statusCode },
        },
      );
    sent.once("connect", (response, socket, head) => {
      if (response.statusCode === 200 && head.length === 0) return resolve(socket);
      socket.destroy();
      reject(refuse(response));
    });
    // Some proxies answer a refusal as if it were no CONNECT.
    sent.once("response", (response) => {
      response.destroy();
      reject(refuse(response));
    });
    sent.on("error", (cause: Error) => {
      const timedOut = cause.name === "AbortError" || cause.name === "TimeoutError";
      const why = timedOut ? "i/o timeout" : cause.message;
      const detail = { proxy: proxy.host };
      const kind = timedOut ? "timeout" : "internal";
      reject(new GantryError(kind, `proxyconnect tcp: ${why}`, { cause, detail }));
    });
    sent.end();
  });
}

/** An IPv6 address and its port. */
function bracketed(authority: string): string {
  if (authority.startsWith("[")) return authority;
  const colon = authority.lastIndexOf(":");
  return `[${authority.slice(0, colon)}]${authority.slice(colon)}`;
}
