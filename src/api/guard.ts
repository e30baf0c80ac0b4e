// What stands between a request and its handler, and between the answer and the client: somebody
// (authorization plugins) who may refuse either. Bodies are shown where they are JSON and of a
// sensible size; streams are never held back, only their beginning may be refused.

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { jsonBodyBytesMax, tooLarge } from "./body.ts";
import { errorBody, statusOf } from "./errors.ts";
import type { Reply } from "./reply.ts";

/** Of a stream that calls itself JSON, what is longer is not shown. Other bodies are shown whole,
 * or the request is refused: what is not seen cannot be allowed (dockerd's limit lets it pass). */
const shownStreamBytesMax = 1024 * 1024;

export interface SeenRequest {
  method: string;
  /** Path, with no more escapes than it needs, and query as the client wrote it. */
  uri: string;
  headers: IncomingHttpHeaders;
  body?: Buffer;
  /** Common name of the client's certificate; "" without one. */
  user: string;
  /** Certificates of the client, its own first, as DER. */
  peerCertificates: Buffer[];
}
export interface SeenAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body?: Buffer;
}
/** Both reject in order to refuse; the error becomes the answer. */
export interface RequestGuard {
  /** Whether there is anybody to ask: asked once a request. */
  isActive(): boolean;
  request(seen: SeenRequest): Promise<void>;
  answer(seen: SeenRequest, answer: SeenAnswer): Promise<void>;
}

export interface GuardInput {
  request: IncomingMessage;
  body: Readable;
  /** The handler takes the body as it comes: an archive, a context. */
  isStream: boolean;
}

/** Runs `handle` between the guard's two questions. */
export async function guarded(
  guard: RequestGuard | undefined,
  input: GuardInput,
  handle: (body: Readable) => Promise<Reply>,
): Promise<Reply> {
  if (guard === undefined || !guard.isActive()) return handle(input.body);
  const { shown, body } = await showBody(input);
  const seen = seenRequest(input.request, shown);
  await guard.request(seen);
  const reply = await handle(body).catch(async (error: unknown) => {
    const text = Buffer.from(`${JSON.stringify(errorBody(error))}\n`);
    await guard.answer(seen, { status: statusOf(error), headers: {}, body: text });
    throw error;
  });
  try {
    await guard.answer(seen, seenAnswer(reply));
  } catch (error) {
    abandon(reply);
    throw error;
  }
  return reply;
}

function seenRequest(request: IncomingMessage, body: Buffer | undefined): SeenRequest {
  const { method = "GET", url = "/", headers } = request;
  const peerCertificates = certificatesOf(request.socket as Partial<TLSSocket>);
  return {
    method,
    uri: plainUri(url),
    headers,
    ...(body !== undefined && { body }),
    user: peerCertificates.length > 0 ? commonName(request.socket as TLSSocket) : "",
    peerCertificates,
  };
}

/** The path as the router reads it: a guard that looks for a word is not passed by writing the word
 * with escapes (/containers/%63reate). The query stays as it is. */
function plainUri(url: string): string {
  const question = url.indexOf("?");
  const path = question < 0 ? url : url.slice(0, question);
  const query = question < 0 ? "" : url.slice(question);
  try {
    return encodeURI(decodeURIComponent(path)).replace(/[?#]/g, encodeURIComponent) + query;
  } catch {
    return url; // which the router refuses
  }
}

function commonName(socket: TLSSocket): string {
  const name = socket.getPeerCertificate().subject?.CN ?? "";
  return Array.isArray(name) ? (name[0] ?? "") : name;
}

function certificatesOf(socket: Partial<TLSSocket>): Buffer[] {
  const found: Buffer[] = [];
  // Only what was checked: without --tlsverify anybody can claim any name.
  if (socket.authorized !== true) return found;
  let one = socket.getPeerCertificate?.(true);
  // The last of a chain names itself as its issuer.
  while (one?.raw !== undefined && !found.some((other) => other.equals(one!.raw))) {
    found.push(one.raw);
    one = one.issuerCertificate;
  }
  return found;
}

/** A JSON body is read ahead; what was read is part of the body that the handler gets. */
async function showBody({
  request,
  body,
  isStream,
}: GuardInput): Promise<{ shown?: Buffer; body: Readable }> {
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  // Whoever logs in to a registry does not tell plugins the password, as with dockerd.
  const isLogin = /^(\/v[0-9.]+)?\/auth(\?|$)/.test(plainUri(request.url ?? ""));
  if (type !== "application/json" || isLogin) return { body };
  const chunks: Buffer[] = [];
  let bytes = 0;
  const iterator = body.iterator({ destroyOnReturn: false });
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    chunks.push(next.value as Buffer);
    bytes += (next.value as Buffer).length;
    if (!isStream && bytes > jsonBodyBytesMax) {
      await iterator.return?.(); // what is still coming is drained, so that the answer gets out
      throw tooLarge();
    }
    if (isStream && bytes > shownStreamBytesMax) {
      return { body: Readable.from(rest(chunks, iterator)) };
    }
  }
  const shown = Buffer.concat(chunks);
  return { shown, body: Readable.from(bytes > 0 ? [shown] : []) };
}

async function* rest(chunks: Buffer[], more: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
    for (let next = await more.next(); next.done !== true; next = await more.next()) {
      yield next.value;
    }
  } finally {
    await more.return?.(); // a handler that has enough leaves the rest to be drained
  }
}

function seenAnswer(reply: Reply): SeenAnswer {
  const json = { "Content-Type": "application/json" };
  switch (reply.kind) {
    case "json": {
      const body = Buffer.from(`${JSON.stringify(reply.body)}\n`);
      return { status: reply.status, headers: { ...json, ...reply.headers }, body };
    }
    case "empty":
      return { status: reply.status, headers: { ...reply.headers } };
    case "text":
      return { status: 200, headers: reply.headers, body: Buffer.from(reply.text) };
    case "bytes":
    case "blocks":
    case "documents":
      return { status: 200, headers: reply.headers };
    case "later":
      return { status: 200, headers: json };
    case "hijack":
    case "websocket":
    case "tunnel":
      return { status: 101, headers: {} };
  }
}

/** An answer that nobody gets lets go of what it holds. */
function abandon(reply: Reply): void {
  if ("stream" in reply) reply.stream.destroy();
  if (reply.kind === "documents" || reply.kind === "blocks") {
    const parts = reply.kind === "blocks" ? reply.blocks : reply.documents;
    const iterator = parts[Symbol.asyncIterator]();
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
  if (reply.kind === "later") reply.body.catch(() => {});
}
