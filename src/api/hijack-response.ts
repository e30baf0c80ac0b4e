// The hijack that stays inside HTTP: a client that sends its stdin as a chunked request body and
// asks for no upgrade (dockerode without `hijack`). Its chunks are decoded by the parser, and the
// answer is raw bytes until the connection closes.

import type { IncomingMessage, ServerResponse } from "node:http";
import { bridge } from "./bridge.ts";
import type { Reply } from "./reply.ts";

/** Resolves when the connection is closed. */
export async function replyOverResponse(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Extract<Reply, { kind: "hijack" }>,
): Promise<void> {
  response.removeHeader("Transfer-Encoding"); // or Node would frame the answer in chunks
  response.writeHead(200, {
    "Content-Type": "application/vnd.docker.raw-stream",
    Connection: "close",
  });
  response.flushHeaders();
  await bridge({ input: request, output: response }, reply.stream, { stdin: reply.stdin });
}
