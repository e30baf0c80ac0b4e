// One HTTP request to a registry and its redirects. Node's own client, because bodies must stream
// undecoded. Credentials stay with the host they are meant for: a redirect to another host, port
// or scheme goes without them.

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import { errnoOf, GantryError, messageOf } from "../base/index.ts";

const redirectsMax = 10;
/** Connecting, TLS, and the time until headers come. */
const headersTimeoutMs = 60_000;
/** No byte for so long means that the connection is dead. */
const idleTimeoutMs = 60_000;
const socketsPerHostMax = 64;

export interface TlsTrust extends SecureContextOptions {
  /** Off for insecure registries. */
  rejectUnauthorized: boolean;
}
export interface ExchangeRequest {
  method: string;
  url: URL;
  headers?: Record<string, string>;
  body?: Uint8Array | Readable;
  tls: TlsTrust;
  followRedirects?: boolean;
  signal?: AbortSignal;
}
export type Exchange = { response: IncomingMessage; url: URL };

const plainAgent = new HttpAgent({ keepAlive: true, maxSockets: socketsPerHostMax });
const secureAgents = new WeakMap<TlsTrust, HttpsAgent>();

/** Sends the request; the answer's body is the caller's to read or drop. */
export async function exchange(request: ExchangeRequest): Promise<Exchange> {
  let { url, method } = request;
  let headers = request.headers ?? {};
  for (let hop = 0; hop <= redirectsMax; hop++) {
    const response = await send({ ...request, url, method, headers });
    const location = response.headers.location;
    const redirects = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
    if (!redirects || !location || request.followRedirects === false) return { response, url };
    response.resume();
    const next = new URL(location, url);
    checkRedirect(url, next, request.tls);
    if (next.origin !== url.origin) headers = withoutCredentials(headers);
    if (response.statusCode === 303 && method !== "HEAD") method = "GET";
    url = next;
  }
  throw new GantryError("unavailable", `${verb(method)} "${url}": stopped after 10 redirects`);
}

function checkRedirect(from: URL, to: URL, tls: TlsTrust): void {
  if (to.protocol !== "http:" && to.protocol !== "https:") {
    throw new GantryError("invalid", `"${from}" redirects to unsupported scheme ${to.protocol}`);
  }
  if (from.protocol === "https:" && to.protocol === "http:" && tls.rejectUnauthorized) {
    throw new GantryError("invalid", `"${from}" redirects from https to http: refused`);
  }
}

function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  const secret = new Set(["authorization", "cookie", "proxy-authorization"]);
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !secret.has(name.toLowerCase())),
  );
}

function send(request: ExchangeRequest): Promise<IncomingMessage> {
  const { method, url, headers, body, tls, signal } = request;
  return new Promise((resolve, reject) => {
    const secure = url.protocol === "https:";
    const options = { method, headers, ...(signal ? { signal } : {}) };
    const sent = secure
      ? httpsRequest(url, { ...options, agent: agentFor(tls), ...tls })
      : httpRequest(url, { ...options, agent: plainAgent });
    sent.setTimeout(body === undefined ? headersTimeoutMs : idleTimeoutMs, () =>
      sent.destroy(new GantryError("timeout", "net/http: timeout awaiting response headers")),
    );
    let answered = false;
    sent.once("response", (response) => {
      answered = true;
      response.setTimeout(idleTimeoutMs, () =>
        response.destroy(new GantryError("timeout", "read: connection timed out")),
      );
      resolve(response);
    });
    sent.on("error", (error) => {
      if (!answered) reject(signal?.aborted ? signal.reason : connectionError(method, url, error));
    });
    if (body === undefined || body instanceof Uint8Array) {
      sent.end(body);
      return;
    }
    body.once("error", (error) => {
      reject(error);
      sent.destroy();
    });
    sent.once("close", () => body.destroy());
    body.pipe(sent);
  });
}

function agentFor(tls: TlsTrust): HttpsAgent {
  let agent = secureAgents.get(tls);
  if (agent === undefined) {
    agent = new HttpsAgent({ keepAlive: true, maxSockets: socketsPerHostMax });
    secureAgents.set(tls, agent);
  }
  return agent;
}

/** Closes idle connections to every registry. */
export function closeIdleConnections(): void {
  plainAgent.destroy();
}

const verb = (method: string): string => method[0]! + method.slice(1).toLowerCase();

/** In the words of Go's net/http, which people search for. */
function connectionError(method: string, url: URL, error: Error): GantryError {
  const prefix = `${verb(method)} "${url}": `;
  const why = reason(url, error);
  const kind = error instanceof GantryError ? error.kind : "internal";
  const detail = { errno: errnoOf(error) ?? "", host: url.host };
  return new GantryError(kind, prefix + why, { cause: error, detail });
}

function reason(url: URL, error: Error): string {
  const {
    code = "",
    address,
    port,
  } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  const target = address?.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  switch (code) {
    case "ECONNREFUSED":
      return `dial tcp ${address ? target : url.host}: connect: connection refused`;
    case "EHOSTUNREACH":
      return `dial tcp ${target}: connect: no route to host`;
    case "ENETUNREACH":
      return `dial tcp ${target}: connect: network is unreachable`;
    case "ETIMEDOUT":
      return `dial tcp ${address ? target : url.host}: i/o timeout`;
    case "ENOTFOUND":
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`;
    case "ECONNRESET":
      return "EOF";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return `tls: failed to verify certificate: x509: certificate signed by unknown authority`;
    case "CERT_HAS_EXPIRED":
      return `tls: failed to verify certificate: x509: certificate has expired or is not yet valid`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `tls: failed to verify certificate: x509: certificate is not valid for ${url.hostname}`;
  }
  if (isPlainAnswer(error)) return "http: server gave HTTP response to HTTPS client";
  return messageOf(error);
}

/** TLS spoke to something that answered in the clear. */
export function isPlainAnswer(error: unknown): boolean {
  const { code = "", message = "" } = error as NodeJS.ErrnoException;
  return /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code + message);
}

/** Reads a small body whole. */
export async function readBody(response: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) {
      throw new GantryError("invalid", `the registry's answer is larger than ${bytesMax} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
