// Small servers of a test's own on the loopback: HTTP or HTTPS with a handler, and a proxy that
// takes CONNECT and absolute requests and leads every host to where the test says.

import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";

export interface TestServer extends AsyncDisposable {
  /** 127.0.0.1:PORT */
  host: string;
  port: number;
  /** "METHOD /path?query" of each request. */
  requests: string[];
  headers: IncomingMessage["headers"][];
}

export async function serve(
  handler: RequestListener,
  tls?: ServerOptions,
): Promise<TestServer & { server: Server }> {
  const requests: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const listener: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    headers.push(request.headers);
    handler(request, response);
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  const port = await listen(server);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const host = `127.0.0.1:${port}`;
  return { server, host, port, requests, headers, [Symbol.asyncDispose]: close };
}

/** Answers whatever comes with raw bytes, as no HTTP server would. */
export async function serveRaw(answer: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  const port = await listen(server);
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const host = `127.0.0.1:${port}`;
  return { host, port, requests: [], headers: [], [Symbol.asyncDispose]: close };
}

export interface TestProxy extends TestServer {
  url: string;
}

/** `leads` maps "host:port" to a port of the loopback; others are refused with 403. */
export async function serveProxy(
  leads: ReadonlyMap<string, number>,
  { authorization }: { authorization?: string } = {},
): Promise<TestProxy> {
  const sockets = new Set<Socket>();
  const mayPass = ({ headers }: IncomingMessage): boolean =>
    authorization === undefined || headers["proxy-authorization"] === authorization;
  const proxy = await serve((request, response) => {
    const url = new URL(request.url!);
    const port = leads.get(`${url.hostname}:${url.port || 80}`);
    if (!mayPass(request)) return void response.writeHead(407).end();
    if (port === undefined) return void response.writeHead(403).end();
    const { "proxy-authorization": _, ...headers } = request.headers;
    const path = url.pathname + url.search;
    const onward = httpRequest({ port, path, method: request.method!, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  proxy.server.on("connect", (request: IncomingMessage, client: Socket) => {
    proxy.requests.push(`CONNECT ${request.url}`);
    proxy.headers.push(request.headers);
    const port = leads.get(request.url!);
    if (!mayPass(request)) {
      return client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    }
    if (port === undefined) return client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    const upstream = connect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => client.destroy());
      socket.on("close", () => {
        client.destroy();
        upstream.destroy();
      });
    }
  });
  return {
    ...proxy,
    url: `http://${proxy.host}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

async function listen(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): AddressInfo | string | null;
}): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
