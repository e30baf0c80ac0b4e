// Connections through a SOCKS5 proxy, as Go's http client makes them for socks5:// and socks5h://
// alike: the proxy gets the name and looks it up itself.

import { type AgentOptions, Agent as HttpAgent } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";

const DEFAULT_PORT = 1080;

export const isSocks = ({ protocol }: URL): boolean => /^socks5h?:$/.test(protocol);

/** An agent for plain http. */
export class SocksAgent extends HttpAgent {
  #proxy: URL;
  #timeoutMs: number;

  constructor(proxy: URL, options: AgentOptions & { connectTimeoutMs: number }) {
    super(options);
    this.#proxy = proxy;
    this.#timeoutMs = options.connectTimeoutMs;
  }

  override createConnection(
    { host, port }: { host?: string; port?: number | string },
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    openSocks(this.#proxy, { host: host ?? "", port: Number(port) }, this.#timeoutMs).then(
      (socket) => callback?.(null, socket),
      (error) => (callback as ((error: Error) => void) | undefined)?.(error as Error),
    );
    return undefined;
  }
}

/** Throws what a client of Go's would say. */
export async function openSocks(
  proxy: URL,
  target: { host: string; port: number },
  timeoutMs: number,
): Promise<Socket> {
  const { SocksClient } = await import("socks");
  const { username, password } = proxy;
  const host = proxy.hostname.replace(/^\[(.*)\]$/, "$1");
  try {
    const { socket } = await SocksClient.createConnection({
      command: "connect",
      destination: { ...target, host: target.host.replace(/^\[(.*)\]$/, "$1") },
      timeout: timeoutMs,
      proxy: {
        ...{ type: 5, host, port: Number(proxy.port) || DEFAULT_PORT },
        ...(username !== "" && { userId: decodeURIComponent(username) }),
        ...(username !== "" && { password: decodeURIComponent(password) }),
      },
    });
    return socket;
  } catch (cause) {
    const timedOut = cause instanceof Error && /timed out/.test(cause.message);
    const why = timedOut ? "i/o timeout" : cause instanceof Error ? cause.message : String(cause);
    const way = `${proxy.host}->${target.host}:${target.port}`;
    const message = `socks connect tcp ${way}: ${why}`;
    const detail = { proxy: proxy.host };
    throw new GantryError(timedOut ? "timeout" : "internal", message, { cause, detail });
  }
}
