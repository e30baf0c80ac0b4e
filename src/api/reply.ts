// What a handler answers, as data, and how each kind goes out over HTTP. Streams have
// back-pressure, end when the client goes away, and send their headers at once where docker's
// clients wait for them.

import type { ServerResponse } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { GantryError, messageOf } from "../base/index.ts";
import type { ApiVersion } from "../protocol/index.ts";

type Headers = Readonly<Record<string, string>>;
export type Reply =
  | { kind: "json"; status: number; body: unknown; headers?: Headers }
  | { kind: "empty"; status: number; headers?: Headers }
  | { kind: "text"; text: string; headers: Headers }
  /** Bytes as they come. */
  | { kind: "bytes"; stream: Readable; headers: Headers }
  /** Bytes in blocks; the memory of one is written again when the next but one is asked for. */
  | { kind: "blocks"; blocks: AsyncIterable<Buffer>; headers: Headers }
  /** JSON documents, one a line. An error after the first goes into the stream when `inBand`. */
  | {
      kind: "documents";
      documents: AsyncIterable<unknown>;
      headers: Headers;
      before: string;
      after: string;
      /** Send the headers before the first document is there. */
      headersFirst: boolean;
      inBand: boolean;
    }
  /** Headers now, one JSON document when the promise settles. */
  | { kind: "later"; body: Promise<unknown> }
  /** The connection becomes a raw stream. */
  | { kind: "hijack"; stream: Duplex; stdin: boolean; contentType: string }
  /** The same over a WebSocket; `head` is the handshake's answer. */
  | { kind: "websocket"; stream: Duplex; stdin: boolean; head: string; version: ApiVersion }
  /** The connection speaks another protocol from now on; `take` resolves when it has ended. */
  | { kind: "tunnel"; protocol: string; take(socket: Duplex): Promise<void> };

export function json(body: unknown, status = 200): Reply {
  return { kind: "json", status, body };
}
export function empty(status = 204, headers: Headers = {}): Reply {
  return { kind: "empty", status, headers };
}
/** Docker's progress messages: a document a line, errors inside the stream. */
export function progress(documents: AsyncIterable<unknown>): Reply {
  const headers = { "Content-Type": "application/json" };
  return {
    kind: "documents",
    documents,
    headers,
    before: "",
    after: "\r\n",
    headersFirst: false,
    inBand: true,
  };
}

/** A document that has been rendered already: the same goes to several clients. */
export class JsonText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type PlainReply = Exclude<Reply, { kind: "hijack" | "websocket" | "tunnel" }>;

/** Sends a reply. Rejects only before the headers are out. */
export async function send(response: ServerResponse, reply: PlainReply): Promise<void> {
  switch (reply.kind) {
    case "json": {
      const body = Buffer.from(`${JSON.stringify(reply.body)}\n`);
      response.writeHead(reply.status, {
        "Content-Type": "application/json",
        "Content-Length": body.length,
        ...reply.headers,
      });
      response.end(body);
      return;
    }
    case "empty":
      response.writeHead(reply.status, {
        ...(reply.status === 204 || reply.status === 304 ? {} : { "Content-Length": "0" }),
        ...reply.headers,
      });
      response.end();
      return;
    case "text":
      response.writeHead(200, {
        "Content-Length": Buffer.byteLength(reply.text),
        ...reply.headers,
      });
      response.end(reply.text);
      return;
    case "bytes":
      return sendBytes(response, reply);
    case "blocks":
      return sendBlocks(response, reply);
    case "documents":
      return sendDocuments(response, reply);
    case "later":
      return sendLater(response, reply.body);
  }
}

async function sendBytes(
  response: ServerResponse,
  { stream, headers }: { stream: Readable; headers: Headers },
): Promise<void> {
  response.writeHead(200, headers);
  response.flushHeaders();
  // A failure in the middle cuts the connection: a short body must not look like a whole one.
  await pipeline(stream, response).catch(() => response.destroy());
}

/** One block is made while the one before it goes out. */
async function sendBlocks(
  response: ServerResponse,
  { blocks, headers }: { blocks: AsyncIterable<Buffer>; headers: Headers },
): Promise<void> {
  response.writeHead(200, headers);
  response.flushHeaders();
  try {
    let before: Promise<void> | undefined;
    for await (const block of blocks) {
      await before;
      if (response.destroyed) return;
      before = written(response, block);
    }
    await before;
    response.end();
  } catch {
    response.destroy(); // a short body must not look like a whole one
  }
}

/** Resolves when the kernel has the bytes, or nobody will take them any more. */
function written(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("close", done);
      resolve();
    };
    response.on("close", done);
    response.write(bytes, done);
  });
}

async function sendDocuments(
  response: ServerResponse,
  reply: Extract<Reply, { kind: "documents" }>,
): Promise<void> {
  const iterator = reply.documents[Symbol.asyncIterator]();
  const begin = (): void => {
    response.writeHead(200, reply.headers);
    response.flushHeaders();
  };
  if (reply.headersFirst) begin();
  try {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      if (!response.headersSent) begin();
      if (response.destroyed) break;
      const { value } = next;
      const text = value instanceof JsonText ? value.text : JSON.stringify(value, integers);
      const line = `${reply.before}${text}${reply.after}`;
      if (!response.write(line)) await drained(response);
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    if (!reply.inBand) return void response.destroy();
    const message = messageOf(error);
    const code = error instanceof GantryError ? error.detail["exitCode"] : undefined;
    const errorDetail = { ...(typeof code === "number" && { code }), message };
    response.write(`${JSON.stringify({ errorDetail, error: message })}\r\n`);
  } finally {
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
  if (!response.headersSent) begin();
  response.end();
}

async function sendLater(response: ServerResponse, body: Promise<unknown>): Promise<void> {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.flushHeaders();
  try {
    response.end(`${JSON.stringify(await body)}\n`);
  } catch {
    response.destroy();
  }
}

/** Nanoseconds since 1970 exceed a double: they may come as bigint and go out as digits. */
function integers(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? rawJson(value.toString()) : value;
}

// In V8 since Node 22, not yet in TypeScript's library.
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
