// Attach and exec start take over the connection: `Upgrade: tcp` (101 UPGRADED) or plain (200 and
// then raw bytes, as old clients want). Bytes for the container's stdin may follow the headers in
// the same packet, so the HTTP parser must stop exactly there: Node's parser does when
// `onIncoming` returns 2 (the value behind its own CONNECT handling, and pinned by a test). A
// chunked body keeps Node's own handling: with Upgrade its upgrade stream, else plain HTTP.

import { type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { GantryError, messageOf } from "../base/index.ts";
import { jsonBodyBytesMax } from "./body.ts";
import { bridge } from "./bridge.ts";
import type { ApiOptions, Handlers } from "./call.ts";
import { errorBody, statusOf } from "./errors.ts";
import { guarded } from "./guard.ts";
import type { PlainReply, Reply } from "./reply.ts";
import { commonHeaders, dispatch, findRoute, isStream } from "./router.ts";
import type { ServerOptions } from "./server.ts";
import { websocketStream } from "./websocket.ts";

const PARSER_STOPS_AFTER_HEADERS = 2;
const upgradedStatus = 101;
/** A cheap look before the route table is asked. */
const MAY_HIJACK = /\/(attach|attach\/ws|start|session|grpc|shell)(\?|$)/;

type Door = { server: Server; handlers: Handlers; options: ServerOptions };
type Parser = { onIncoming?: ((request: IncomingMessage, keepAlive: boolean) => number) | null };

/** Makes `server` hand over the connections of hijacking routes. */
export function installHijack(server: Server, handlers: Handlers, options: ServerOptions): void {
  const door = { server, handlers, options };
  Object.assign(server, { shouldUpgradeCallback: hijacks });
  server.on("upgrade", (request, stream, head) => void takeOver(door, request, stream, head));
  server.on(connectionEvent(server), (socket: Socket & { parser?: Parser }) => {
    const { parser } = socket;
    const onIncoming = parser?.onIncoming;
    if (!parser || !onIncoming) return;
    parser.onIncoming = (request, keepAlive) => {
      const stop = request.headers["transfer-encoding"] === undefined && hijacks(request);
      if (!stop) return onIncoming(request, keepAlive);
      request.upgrade = true;
      return PARSER_STOPS_AFTER_HEADERS;
    };
  });
}

function connectionEvent(server: Server): "connection" | "secureConnection" {
  return "setSecureContext" in server ? "secureConnection" : "connection";
}

function hijacks(request: IncomingMessage & { upgrade?: boolean }): boolean {
  const { method = "GET", url = "/" } = request;
  if (!MAY_HIJACK.test(url)) return false;
  return findRoute(method, url).route?.spec.answer === "hijack";
}

declare module "node:http" {
  interface IncomingMessage {
    upgrade?: boolean;
  }
}

async function takeOver(
  door: Door,
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  const { log, requests } = door.options;
  const answered = requests.begin(request);
  const routed = findRoute(request.method ?? "GET", request.url ?? "/");
  const abort = new AbortController();
  const onClose = (): void => abort.abort();
  const ignore = (): void => {};
  stream.on("error", ignore);
  stream.on("close", onClose);
  if ("setTimeout" in stream) (stream as Socket).setTimeout(0);
  try {
    if (head.length > 0) stream.unshift(head);
    const body = await bodyOf(request, stream);
    const upgrade = request.headers.upgrade !== undefined;
    const input = { request, signal: abort.signal, upgrade };
    const reply = await guarded(
      door.options.guard,
      { request, body, isStream: isStream(routed) },
      (shown) => dispatch(routed, door.handlers, door.options, { ...input, body: shown }),
    );
    stream.off("close", onClose);
    if (reply.kind === "websocket") {
      stream.write(`${reply.head}${headerLines(door.options)}\r\n`);
      const inside = websocketStream(stream, reply.version);
      await bridge({ input: inside, output: inside }, reply.stream, { stdin: reply.stdin });
      return;
    }
    if (reply.kind === "tunnel") {
      stream.write(tunnelHead(reply.protocol));
      return await reply.take(stream);
    }
    if (reply.kind !== "hijack") {
      stream.off("error", ignore);
      return answerAndReturn(door, stream, reply);
    }
    stream.write(hijackHead(door.options, reply, upgrade));
    await bridge({ input: stream, output: stream }, reply.stream, { stdin: reply.stdin });
  } catch (error) {
    log.debug(`Handler for ${request.method} ${routed.path} returned error: ${messageOf(error)}`);
    const status = statusOf(error);
    stream.end(plainAnswer(door.options, status, JSON.stringify(errorBody(error)), "close"));
    stream.resume();
    answered(status);
  } finally {
    answered(upgradedStatus);
  }
}

/** The body that precedes the raw bytes. Attach has none to read, but dockerode sends one. */
async function bodyOf(request: IncomingMessage, stream: Duplex): Promise<Readable> {
  if (request.headers["transfer-encoding"] !== undefined) return request;
  const length = Number(request.headers["content-length"] ?? 0);
  if (length === 0) return Readable.from([]);
  if (length > jsonBodyBytesMax) {
    throw new GantryError("invalid", `request body is larger than ${jsonBodyBytesMax} bytes`);
  }
  return Readable.from([await readExactly(stream, length)]);
}

async function readExactly(stream: Readable, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let missing = length; missing > 0; ) {
    const available = Math.min(missing, stream.readableLength);
    const chunk = (available > 0 ? stream.read(available) : stream.read(0)) as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      missing -= chunk.length;
      continue;
    }
    if (stream.readableEnded || stream.destroyed) {
      throw new GantryError("invalid", "invalid JSON: unexpected EOF");
    }
    await readable(stream);
  }
  return Buffer.concat(chunks);
}

function readable(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    const events = ["readable", "end", "close", "error"];
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}

function hijackHead(
  options: ApiOptions,
  reply: Extract<Reply, { kind: "hijack" }>,
  upgrade: boolean,
): string {
  const lines = upgrade
    ? [
        "HTTP/1.1 101 UPGRADED",
        `Content-Type: ${reply.contentType}`,
        "Connection: Upgrade",
        "Upgrade: tcp",
      ]
    : ["HTTP/1.1 200 OK", "Content-Type: application/vnd.docker.raw-stream"];
  return `${lines.join("\r\n")}\r\n${headerLines(options)}\r\n`;
}

/** Nothing but what the upgrade needs: the client's next bytes are the other protocol's. */
function tunnelHead(protocol: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
}

function headerLines(options: ApiOptions): string {
  return Object.entries(commonHeaders(options))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}

function plainAnswer(
  options: ApiOptions,
  status: number,
  body: string,
  connection: "close" | "keep-alive",
): string {
  const text = body === "" ? "" : `${body}\n`;
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n` +
    (text === "" ? "" : "Content-Type: application/json\r\n") +
    `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: ${connection}\r\n` +
    `${headerLines(options)}\r\n${text}`
  );
}

/** A detached exec answers like any request; its connection goes back to the HTTP server. */
function answerAndReturn({ server, options }: Door, stream: Duplex, reply: PlainReply): void {
  const status = reply.kind === "empty" ? reply.status : 200;
  const body = reply.kind === "json" ? JSON.stringify(reply.body) : "";
  stream.write(plainAnswer(options, status, body, "keep-alive"));
  server.emit(connectionEvent(server), stream);
}
