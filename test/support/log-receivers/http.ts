// What the receivers that speak HTTP share: a server on loopback whose requests a test's rule
// answers, and which keeps those that were answered with success.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTls, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

export interface HttpRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
}
export interface HttpReply {
  status: number;
  body?: string | Buffer;
}
/** Undefined: no answer at all. */
export type Serve = (request: HttpRequest) => Promise<HttpReply | undefined>;

export async function listenHttp(
  serve: Serve,
  { tls, port = 0 }: { tls?: ServerOptions; port?: number } = {},
): Promise<{ port: number; url: string; close(): Promise<void> }> {
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const isPacked = request.headers["content-encoding"] === "gzip";
    const reply = await serve({
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers as Record<string, string>,
      body: isPacked ? gunzipSync(raw) : raw,
    });
    if (!reply) return;
    response.writeHead(reply.status);
    response.end(reply.body ?? "");
  };
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch(() => response.destroy());
  };
  const server = tls ? createTls(tls, listener) : createServer(listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve());
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    url: `${tls ? "https" : "http"}://127.0.0.1:${bound}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
