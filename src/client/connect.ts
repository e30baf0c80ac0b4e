// Opens byte streams to a daemon: a unix socket, TCP, TLS, or `docker system dial-stdio` at the
// other end of ssh. TLS and child processes are loaded only where they are used: the start of
// every command pays for what this file imports.

import { connect as netConnect } from "node:net";
import type { Duplex } from "node:stream";
import type { Endpoint } from "./endpoint.ts";

export interface TlsMaterial {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** Checks the daemon's certificate. */
  verify: boolean;
}

/** The caller's, which is where ssh finds its agent; a warm process has another. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Resolves once the stream is connected; rejects with the system's error. */
export async function openStream(
  endpoint: Endpoint,
  tls?: TlsMaterial,
  environment: Environment = process.env,
): Promise<Duplex> {
  if (endpoint.kind === "ssh") {
    const { openSsh } = await import("./ssh.ts");
    return openSsh(endpoint, environment);
  }
  if (tls && endpoint.kind === "tcp") return openTls(endpoint, tls);
  const socket =
    endpoint.kind === "unix"
      ? netConnect({ path: endpoint.path })
      : netConnect({ host: endpoint.host, port: endpoint.port, noDelay: true });
  await opened(socket, "connect");
  return socket;
}

function opened(socket: Duplex, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(error);
    socket.once("error", onError);
    socket.once(event, () => {
      socket.off("error", onError);
      resolve();
    });
  });
}

async function openTls(
  endpoint: Extract<Endpoint, { kind: "tcp" }>,
  material: TlsMaterial,
): Promise<Duplex> {
  const [tls, { isIP }] = await Promise.all([import("node:tls"), import("node:net")]);
  const socket = tls.connect({
    host: endpoint.host,
    port: endpoint.port,
    ...(isIP(endpoint.host) ? {} : { servername: endpoint.host }),
    rejectUnauthorized: material.verify,
    minVersion: "TLSv1.2",
    // As Go: a trusted certificate need not be a root.
    allowPartialTrustChain: true,
    ...(material.ca ? { ca: material.ca } : {}),
    ...(material.cert ? { cert: material.cert } : {}),
    ...(material.key ? { key: material.key } : {}),
  });
  await opened(socket, "secureConnect");
  return socket;
}
