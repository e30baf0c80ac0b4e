// The gRPC server of a daemon's `/grpc` connections, and the registry of its clients' sessions.

import type { IncomingMessage } from "node:http";
import { createServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { content, control, gateway, health } from "../gen/buildkit/index.ts";
import { MESSAGE_BYTES_MAX } from "../wire/index.ts";
import { bridgeService } from "./bridge-service.ts";
import { endWhole } from "./client-connection.ts";
import { contentService } from "./content-service.ts";
import { controlService } from "./control-service.ts";
import { grpcErrors } from "./grpc-errors.ts";
import { healthService } from "./health-service.ts";
import type { Buildkit, BuildkitOptions } from "./index.ts";
import { oldBuild } from "./old-build.ts";
import { Sessions } from "./sessions.ts";
import { Solves } from "./solves.ts";

const STREAM_WINDOW_BYTES = 1024 * 1024;
const MEMORY_MEGABYTES = 64;
/** Calls of one connection at a time. */
const STREAMS_MAX = 1_000;

export function buildkitService(options: BuildkitOptions): Buildkit {
  const sessions = new Sessions();
  const solves = new Solves();
  const place = { ...options, sessions, solves };
  const handler = connectNodeAdapter({
    ...{ grpc: true, grpcWeb: false, connect: false },
    ...{ readMaxBytes: MESSAGE_BYTES_MAX, acceptCompression: [] },
    interceptors: [grpcErrors(options.log)],
    routes: (router) => {
      router.service(control.Control, controlService(place));
      router.service(gateway.LLBBridge, bridgeService(place));
      router.service(content.Content, contentService(place));
      router.service(health.Health, healthService);
    },
  });
  const server = createServer({
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: STREAMS_MAX },
    maxSessionMemory: MEMORY_MEGABYTES,
  });
  server.on("request", (request: Http2ServerRequest, response: Http2ServerResponse) =>
    handler(request as unknown as IncomingMessage as never, response as never),
  );
  server.on("sessionError", () => {});
  return {
    session: async (header) => {
      const facts = sessions.facts(header);
      return (socket) => sessions.serve(socket, facts);
    },
    grpc: async () => (socket) => serve(server, socket),
    build: (request, o) => oldBuild(place, request, o),
  };
}

function serve(server: ReturnType<typeof createServer>, socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    endWhole(socket);
    socket.once("close", () => resolve());
    server.emit("connection", socket);
  });
}
