// The other end of BuildKit's protocols, for tests: a client of /grpc, and a session whose services
// a test writes itself, also as raw frames.

import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type Client, type ConnectRouter, createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { createApi } from "../../src/api/index.ts";
import { silentLogger } from "../../src/base/index.ts";
import type { EngineDoors } from "../../src/engine/index.ts";
import { control, gateway } from "../../src/gen/buildkit/index.ts";

type Headers = Readonly<Record<string, string | readonly string[]>>;

/** A connection that the daemon has handed over. Throws its answer when it refuses. */
export function upgrade(socketPath: string, path: string, headers: Headers = {}): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const call = request({
      ...{ socketPath, path, method: "POST" },
      headers: { Connection: "Upgrade", Upgrade: "h2c", ...headers },
    });
    call.on("upgrade", (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    call.on("response", (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => reject(new Error(`${response.statusCode} ${text.trim()}`)));
    });
    call.on("error", reject);
    call.end();
  });
}

export interface GrpcClients {
  control: Client<typeof control.Control>;
  bridge: Client<typeof gateway.LLBBridge>;
  close(): void;
}

export async function connectGrpc(socketPath: string): Promise<GrpcClients> {
  const socket = await upgrade(socketPath, "/grpc");
  const transport = createGrpcTransport({
    baseUrl: "http://localhost",
    nodeOptions: { createConnection: () => socket } as never,
  });
  return {
    control: createClient(control.Control, transport),
    bridge: createClient(gateway.LLBBridge, transport),
    close: () => socket.destroy(),
  };
}

export interface BuildkitServer {
  /** The API's socket. */
  path: string;
  grpc: GrpcClients;
  close(): Promise<void>;
}

/** An API over an engine, with a client of its gRPC services. */
export async function serveBuildkit(engine: EngineDoors): Promise<BuildkitServer> {
  const api = createApi({ engine, serverVersion: "0.1.0", log: silentLogger }).server();
  const folder = await mkdtemp(join(tmpdir(), "gantry-buildkit-"));
  const path = join(folder, "api.sock");
  await new Promise<void>((resolve) => api.server.listen(path, resolve));
  const grpc = await connectGrpc(path);
  return {
    path,
    grpc,
    close: async () => {
      grpc.close();
      await api.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface SessionOptions {
  id: string;
  sharedKey?: string;
  /** "/package.Service/Method" */
  methods: readonly string[];
  /** Services by the library. */
  routes?: (router: ConnectRouter) => void;
  /** Streams that the test answers itself, by path. */
  streams?: Readonly<
    Record<string, (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void>
  >;
}

/** Opens a session and serves it; the connection, to be destroyed. */
export async function openSession(
  socketPath: string,
  { id, sharedKey = "", methods, routes = () => {}, streams = {} }: SessionOptions,
): Promise<Duplex> {
  const socket = await upgrade(socketPath, "/session", {
    "X-Docker-Expose-Session-Uuid": id,
    "X-Docker-Expose-Session-Name": "test",
    "X-Docker-Expose-Session-Sharedkey": sharedKey,
    "X-Docker-Expose-Session-Grpc-Method": methods,
  });
  serveSession(socket, routes, streams);
  return socket;
}

export function serveSession(
  socket: Duplex,
  routes: NonNullable<SessionOptions["routes"]>,
  streams: NonNullable<SessionOptions["streams"]> = {},
): void {
  const handler = connectNodeAdapter({ routes, grpc: true, grpcWeb: false, connect: false });
  const server = createServer();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    streams[String(headers[":path"])]?.(stream as ServerHttp2Stream, headers);
  });
  server.on("request", (incoming, response) => {
    // Of raw streams only the trailers are the library's.
    if (streams[incoming.url]) response.addTrailers({ "grpc-status": "0" });
    else handler(incoming as never, response as never);
  });
  server.on("sessionError", () => {});
  socket.on("error", () => {});
  server.emit("connection", socket);
}

/** Answers a raw stream's headers. */
export function accept(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
}
