// One HTTP request to a registry and its redirects. Node's own client, because bodies must stream
// undecoded. Credentials stay with the host they are meant for: a redirect to another host, port
// or scheme goes without them. Whatever the other side does, an exchange ends: there is a limit to
// connecting, to the head of the answer and its size, and to how slowly a body may trickle.

import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { GantryError } from "../base/index.ts";
import { connectionError, goVerb, shown } from "./connection-error.ts";
import { proxyAddress, proxyHeaders } from "./proxy-tunnel.ts";
import { isSocks } from "./socks-tunnel.ts";
import { exchangeLimits, type Transport } from "./transport.ts";

const redirectsMax = 10;
/** Node counts names and values together. Presigned URLs in Location need a few thousand. */
const headerBytesMax = 64 << 10;
const headersMax = 200;
/** Fewer bytes in idleTimeoutMs and the other side only wants to keep us. */
const trickleBytesMin = 512;
const locationCharsMax = 16 << 10;
/** More is not worth the connection that it would keep open for the next request. */
const droppedBytesMax = 256 << 10;

export interface ExchangeRequest {
  method: string;
  url: URL;
  headers?: Record<string, string>;
  body?: Uint8Array | Readable;
  transport: Transport;
  followRedirects?: boolean;
  signal?: AbortSignal;
}
export type Exchange = { response: IncomingMessage; url: URL };

/** Sends the request; the answer's body is the caller's to read or drop. */
export async function exchange(request: ExchangeRequest): Promise<Exchange> {
  let current = request;
  for (let hop = 0; hop <= redirectsMax; hop++) {
    const response = await sendAgain(current);
    const next = request.followRedirects === false ? undefined : redirected(current, response);
    if (next === undefined) return { response, url: current.url };
    dropBody(response);
    current = next;
  }
  const { method, url } = request;
  throw new GantryError(
    "unavailable",
    `${goVerb(method)} "${shown(url)}": stopped after ${redirectsMax} redirects`,
  );
}

/** What a redirect makes of a request; undefined when the answer is none that can be followed. */
function redirected(
  request: ExchangeRequest,
  { statusCode = 0, headers: { location } }: IncomingMessage,
): ExchangeRequest | undefined {
  if (![301, 302, 303, 307, 308].includes(statusCode) || !location) return undefined;
  const keepsMethod = statusCode === 307 || statusCode === 308;
  // What was streamed is gone.
  if (keepsMethod && request.body instanceof Readable) return undefined;
  const url = redirectTarget(request, location);
  const { body, headers = {}, ...rest } = request;
  const crosses = url.origin !== request.url.origin;
  const next = {
    ...rest,
    url,
    headers: crosses ? without(headers, SECRETS) : headers,
    transport: crosses ? request.transport.stranger : request.transport,
  };
  if (keepsMethod || request.method === "GET" || request.method === "HEAD") {
    return body === undefined ? next : { ...next, body };
  }
  return { ...next, method: "GET", headers: without(next.headers, CONTENT) };
}

const SECRETS = ["authorization", "cookie", "proxy-authorization"];
const CONTENT = ["content-type", "content-length", "content-range", "transfer-encoding"];

function redirectTarget({ url: from, transport }: ExchangeRequest, location: string): URL {
  let to: URL;
  try {
    if (location.length > locationCharsMax) throw new Error("too long");
    to = new URL(location, from);
  } catch (cause) {
    throw new GantryError("invalid", `"${shown(from)}" redirects to an invalid address`, { cause });
  }
  if (to.protocol !== "http:" && to.protocol !== "https:") {
    const what = `unsupported scheme ${to.protocol}`;
    throw new GantryError("invalid", `"${shown(from)}" redirects to ${what}`);
  }
  const downgrade = from.protocol === "https:" && to.protocol === "http:";
  if (downgrade && transport.tls.rejectUnauthorized && !transport.followsDown) {
    throw new GantryError("invalid", `"${shown(from)}" redirects from https to http: refused`);
  }
  to.username = "";
  to.password = "";
  return to;
}

function without(
  headers: Record<string, string>,
  names: readonly string[],
): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase()));
  return Object.fromEntries(kept);
}

/** A connection that was kept may have been closed by the other side just now. */
async function sendAgain(request: ExchangeRequest): Promise<IncomingMessage> {
  try {
    return await send(request);
  } catch (error) {
    const isStale = error instanceof GantryError && error.detail["stale"] === true;
    if (!isStale || request.body instanceof Readable) throw error;
    return await send(request);
  }
}

function send(request: ExchangeRequest): Promise<IncomingMessage> {
  const { method, url, body, transport, signal } = request;
  return new Promise((resolve, reject) => {
    const sent = open(request);
    const deadline = watchRequest(sent, request);
    sent.once("response", (response) => {
      clearTimeout(deadline.timer);
      watchBody(response, transport.limits.idleTimeoutMs);
      resolve(response);
    });
    sent.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(deadline.timer);
      if (signal?.aborted) return reject(signal.reason);
      const stale = sent.reusedSocket && error.code === "ECONNRESET";
      const told = connectionError(method, url, error);
      const detail = { ...told.detail, stale };
      reject(new GantryError(told.kind, told.message, { cause: error, detail }));
    });
    if (!(body instanceof Readable)) {
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

/** Straight to the host, through a tunnel, or (without TLS) as an order to the proxy. */
function open({ method, url, headers = {}, transport, signal }: ExchangeRequest): ClientRequest {
  const proxy = transport.proxyFor(url);
  const options = {
    method,
    headers,
    maxHeaderSize: headerBytesMax,
    ...(signal ? { signal } : {}),
  };
  let sent: ClientRequest;
  if (url.protocol === "https:") {
    sent = httpsRequest(url, { ...options, agent: transport.secureAgent(proxy) });
  } else if (proxy === undefined || isSocks(proxy)) {
    sent = httpRequest(url, { ...options, agent: transport.plainAgent(proxy) });
  } else {
    const { origin, pathname, search, host } = url;
    sent = (proxy.protocol === "https:" ? httpsRequest : httpRequest)({
      ...options,
      ...proxyAddress(proxy),
      path: `${origin}${pathname}${search}`,
      headers: { Host: host, ...headers, ...proxyHeaders(proxy) },
      agent: false,
    });
  }
  sent.maxHeadersCount = headersMax;
  return sent;
}

/** One deadline after the other: to be connected, then (when all is sent) for the answer's head. */
function watchRequest(
  sent: ClientRequest,
  { body, transport: { limits } }: ExchangeRequest,
): { timer: NodeJS.Timeout | undefined } {
  const deadline: { timer: NodeJS.Timeout | undefined } = { timer: undefined };
  const arm = (milliseconds: number, message: string): void => {
    clearTimeout(deadline.timer);
    deadline.timer = setTimeout(() => {
      sent.destroy(new GantryError("timeout", message));
    }, milliseconds);
  };
  const awaitHead = (): void => {
    const wait = body === undefined ? limits.headersTimeoutMs : limits.commitTimeoutMs;
    arm(wait, "net/http: timeout awaiting response headers");
  };
  arm(limits.connectTimeoutMs, "dial tcp: i/o timeout");
  sent.once("socket", (socket) => {
    const { connecting, secureConnecting } = socket as TLSSocket & { secureConnecting?: boolean };
    const connected = (): void => {
      if (sent.destroyed) return;
      clearTimeout(deadline.timer);
      // Until all is sent, the other side must only go on taking it.
      sent.setTimeout(limits.idleTimeoutMs, () => {
        if (!sent.writableFinished) sent.destroy(new GantryError("timeout", "write: i/o timeout"));
      });
      if (sent.writableFinished) awaitHead();
      else sent.once("finish", awaitHead);
    };
    if (!connecting && !secureConnecting) connected();
    else socket.once(secureConnecting === undefined ? "connect" : "secureConnect", connected);
  });
  sent.once("close", () => clearTimeout(deadline.timer));
  return deadline;
}

/** Ends a body that does not come along. A reader who takes his time is no reason. */
function watchBody(response: IncomingMessage, idleTimeoutMs: number): void {
  const { socket } = response;
  socket.setTimeout(0);
  let seen = socket.bytesRead;
  let isWaitingForReader = false;
  const timer = setInterval(() => {
    const came = socket.bytesRead - seen;
    seen = socket.bytesRead;
    // It needs a whole interval of its own after the reader has caught up.
    const wasWaiting = isWaitingForReader;
    isWaitingForReader = response.readableLength > 0 || response.readableFlowing === null;
    if (came >= trickleBytesMin || isWaitingForReader || wasWaiting) return;
    const what = came === 0 ? "read: connection timed out" : "read: the answer trickles";
    response.destroy(new GantryError("timeout", what));
  }, idleTimeoutMs);
  timer.unref();
  response.once("end", () => clearInterval(timer));
  response.once("close", () => clearInterval(timer));
}

/** Reads a small document whole. A server that compresses without being asked is understood, as by
 * Go's clients; `encoded` is for blobs, whose digests are of the bytes that came. */
export async function readBody(
  response: IncomingMessage,
  bytesMax: number,
  { timeoutMs = exchangeLimits.bodyTimeoutMs, encoded = false } = {},
): Promise<Buffer> {
  const raw = await readRaw(response, bytesMax, timeoutMs);
  const isPacked = /^\s*(x-)?gzip\s*$/i.test(response.headers["content-encoding"] ?? "");
  if (encoded || !isPacked || raw.length === 0) return raw;
  try {
    return await promisify(gunzip)(raw, { maxOutputLength: bytesMax });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytesMax);
    throw new GantryError("corrupt", "the registry's answer is no sound gzip", { cause });
  }
}

async function readRaw(
  response: IncomingMessage,
  bytesMax: number,
  timeoutMs: number,
): Promise<Buffer> {
  const told = Number(response.headers["content-length"] ?? 0);
  if (told > bytesMax) {
    response.destroy();
    throw tooLarge(bytesMax);
  }
  const timer = setTimeout(() => {
    response.destroy(new GantryError("timeout", "read: the answer takes too long"));
  }, timeoutMs);
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(bytesMax: number): GantryError {
  return new GantryError("invalid", `the registry's answer is larger than ${bytesMax} bytes`);
}

/** Reads and drops a body that nobody wants, so that the connection can be used again; a long one
 * is cut. */
export function dropBody(response: IncomingMessage): void {
  let bytes = 0;
  response.on("error", () => {});
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > droppedBytesMax) response.destroy();
  });
}
