// Connections to receivers, and why there is none in the words of Go's net package, which clients
// see when a start fails.

import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import { systemRoots } from "../../distribution/index.ts";
import { hostPort } from "./options.ts";

export type Endpoint =
  | { kind: "tcp"; host: string; port: number; tls?: ConnectionOptions }
  | { kind: "unix"; path: string };

const WORDS: Record<string, string> = {
  ECONNREFUSED: "connect: connection refused",
  ECONNRESET: "connect: connection reset by peer",
  ENETUNREACH: "connect: network is unreachable",
  EHOSTUNREACH: "connect: no route to host",
  ENOENT: "connect: no such file or directory",
  EACCES: "connect: permission denied",
  EPROTOTYPE: "connect: protocol wrong type for socket",
  ETIMEDOUT: "i/o timeout",
};

/** An error of connecting, as Go's net.OpError says it. */
export function dialError(network: string, address: string, error: unknown): GantryError {
  const errno = errnoOf(error) ?? "";
  const { hostname } = error as { hostname?: string };
  if (hostname !== undefined && /^(ENOTFOUND|EAI_)/.test(errno)) {
    const why = errno === "ENOTFOUND" ? "no such host" : "Temporary failure in name resolution";
    const message = `dial ${network}: lookup ${hostname}: ${why}`;
    return new GantryError("unavailable", message, { cause: error });
  }
  const why = WORDS[errno] ?? messageOf(error);
  return new GantryError("unavailable", `dial ${network} ${address}: ${why}`, { cause: error });
}

/** Resolves with a socket that is connected, and whose name was checked where it is TLS. */
export async function dial(
  endpoint: Endpoint,
  o: { timeoutMs: number; signal: AbortSignal },
): Promise<Socket> {
  o.signal.throwIfAborted();
  const network = endpoint.kind === "unix" ? "unix" : "tcp";
  const address = endpoint.kind === "unix" ? endpoint.path : hostPort(endpoint.host, endpoint.port);
  const socket = open(await withRoots(endpoint));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const late = () => reject(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" }));
  const abort = () => reject(o.signal.reason);
  const timer = setTimeout(late, o.timeoutMs);
  o.signal.addEventListener("abort", abort, { once: true });
  const ready = endpoint.kind === "tcp" && endpoint.tls ? "secureConnect" : "connect";
  socket.once(ready, resolve);
  socket.once("error", reject);
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    o.signal.throwIfAborted();
    throw isTlsError(error)
      ? new GantryError("unavailable", `tls: failed to verify certificate: ${messageOf(error)}`, {
          cause: error,
        })
      : dialError(network, address, firstOf(error));
  } finally {
    clearTimeout(timer);
    o.signal.removeEventListener("abort", abort);
    socket.removeListener("error", reject);
    socket.on("error", () => {}); // whoever has the socket hears of its close
  }
}

/** Without an authority of its own a receiver is checked by those of the system. */
async function withRoots(endpoint: Endpoint): Promise<Endpoint> {
  if (endpoint.kind === "unix" || !endpoint.tls) return endpoint;
  return { ...endpoint, tls: { ca: [...(await systemRoots())], ...endpoint.tls } };
}

function open(endpoint: Endpoint): Socket {
  if (endpoint.kind === "unix") return connectTcp({ path: endpoint.path });
  const { host, port, tls } = endpoint;
  // Names in certificates are of hosts, not of addresses: no SNI for an address.
  const named = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
  const socket = tls
    ? connectTls({ host, port, ...named, ...tls })
    : connectTcp({ host, port, keepAlive: true });
  return socket.setNoDelay(true).setKeepAlive(true, 30_000);
}

/** Of a name with several addresses Node tells every failure; Go the first. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
}

function isTlsError(error: unknown): boolean {
  const code = errnoOf(error) ?? "";
  return /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO)/.test(code);
}
