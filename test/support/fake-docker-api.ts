// A Docker Engine API server that answers from a script and records what it was asked, so that
// the client side is tested without a daemon: the same server serves the stock client when
// golden files are made and ours when they are checked.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";

export interface RecordedRequest {
  method: string;
  path: string;
  query: Record<string, string>;
  version: string;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}
export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a string or Buffer as it is, a list as chunks. */
  body?: unknown;
  /** Takes the connection over after a 101 or 200 answer. */
  hijack?: (socket: Socket, head: Buffer) => void;
}
export type Routes = Record<string, Answer | ((request: RecordedRequest) => Answer)>;

export interface FakeApi {
  requests: RecordedRequest[];
  server: Server;
  close(): Promise<void>;
}

/** Serves `routes` ("GET /containers/json") on a unix socket; unknown routes answer 404. */
export async function serveFakeApi(
  socketPath: string,
  routes: Routes,
  { apiVersion = "1.50" } = {},
): Promise<FakeApi> {
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  const find = async (request: IncomingMessage): Promise<[RecordedRequest, Answer]> => {
    const recorded = await record(request);
    if (!recorded.path.startsWith("/_ping")) requests.push(recorded);
    return [recorded, answerFor(recorded, routes)];
  };
  const server = createServer(async (request, response) => {
    const [, answer] = await find(request);
    response.writeHead(answer.status ?? 200, headersOf(answer, apiVersion));
    const body = answer.body;
    if (request.method === "HEAD") response.end();
    else if (Array.isArray(body) && answer.headers?.["x-chunks"]) {
      for (const chunk of body) response.write(chunk);
      response.end();
    } else response.end(encode(body));
  });
  server.on("upgrade", async (request, socket: Socket, head: Buffer) => {
    const [, answer] = await find(request);
    if (!answer.hijack) {
      const body = encode(answer.body);
      socket.end(
        `HTTP/1.1 ${answer.status ?? 404} Refused\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
      return;
    }
    socket.write(
      "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n" +
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    answer.hijack(socket, head);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    requests,
    server,
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

async function record(request: IncomingMessage): Promise<RecordedRequest> {
  const url = new URL(request.url ?? "/", "http://fake");
  const match = /^\/v(\d+\.\d+)(\/.*)$/.exec(url.pathname);
  let body = "";
  if (!request.headers.upgrade) {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    body = Buffer.concat(chunks).toString("utf8");
  }
  return {
    method: request.method ?? "GET",
    path: decodeURIComponent(match?.[2] ?? url.pathname),
    query: Object.fromEntries(url.searchParams),
    version: match?.[1] ?? "",
    headers: request.headers,
    body,
  };
}

function answerFor(request: RecordedRequest, routes: Routes): Answer {
  if (request.path === "/_ping") return { body: "OK" };
  const route = routes[`${request.method} ${request.path}`] ?? routes["*"];
  if (route === undefined) return { status: 404, body: { message: "page not found" } };
  return typeof route === "function" ? route(request) : route;
}

function headersOf(answer: Answer, apiVersion: string): Record<string, string> {
  const json = answer.body !== undefined && typeof answer.body === "object";
  return {
    "Api-Version": apiVersion,
    "Docker-Experimental": "false",
    Ostype: "linux",
    Server: "Docker/28.2.2 (linux)",
    "Content-Type": json ? "application/json" : "text/plain",
    ...answer.headers,
  };
}

function encode(body: unknown): string | Buffer {
  if (body === undefined) return "";
  if (typeof body === "string" || Buffer.isBuffer(body)) return body;
  return JSON.stringify(body);
}
