// Attach over WebSocket: what the client sends is stdin, what the container writes comes as
// binary frames (text until API 1.27), never multiplexed. A page of another site must not reach
// the socket of the daemon through a browser, so a foreign Origin is refused.

import type { IncomingMessage } from "node:http";
import { Duplex, Transform } from "node:stream";
import { GantryError } from "../base/index.ts";
import {
  type ApiVersion,
  encodeWebsocketFrame,
  FrameDecoder,
  OPCODE,
  WebsocketDecoder,
  websocketAccept,
} from "../protocol/index.ts";

const CLOSE_NORMAL = Buffer.from([0x03, 0xe8]);

/** Throws invalid or forbidden; otherwise returns the lines of the 101 answer. */
export function acceptWebsocket({ headers }: Pick<IncomingMessage, "headers">): string {
  const key = headers["sec-websocket-key"];
  const isWebsocket = String(headers.upgrade ?? "").toLowerCase() === "websocket";
  if (!isWebsocket || key === undefined || headers["sec-websocket-version"] !== "13") {
    throw new GantryError("invalid", "this endpoint needs a WebSocket handshake (version 13)");
  }
  if (headers.origin !== undefined && hostOf(headers.origin) !== headers.host) {
    throw new GantryError("forbidden", `WebSocket from another origin: ${headers.origin}`);
  }
  const accept = `Sec-WebSocket-Accept: ${websocketAccept(key)}`;
  const upgrade = "Upgrade: websocket\r\nConnection: Upgrade";
  return `HTTP/1.1 101 Switching Protocols\r\n${upgrade}\r\n${accept}\r\n`;
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** The bytes inside a WebSocket: reading is stdin, writing becomes frames. */
export function websocketStream(socket: Duplex, version: ApiVersion): Duplex {
  const decoder = new WebsocketDecoder();
  const opcode = version.atLeast("1.28") ? OPCODE.binary : OPCODE.text;
  const send = (frame: Buffer, done: () => void): void => {
    if (socket.write(frame)) done();
    else socket.once("drain", done);
  };
  const hangUp = (): void => {
    if (!socket.writableEnded) socket.end(encodeWebsocketFrame(OPCODE.close, CLOSE_NORMAL));
  };
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => send(encodeWebsocketFrame(opcode, chunk), done),
    final: (done) => {
      hangUp();
      done();
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const { opcode: kind, payload } of decoder.push(chunk)) {
        if (kind === OPCODE.close) {
          stream.push(null);
          hangUp();
        } else if (kind === OPCODE.ping) socket.write(encodeWebsocketFrame(OPCODE.pong, payload));
        else if (kind !== OPCODE.pong && !stream.push(payload)) socket.pause();
      }
    } catch {
      stream.destroy();
    }
  });
  socket.on("end", () => stream.destroy());
  socket.on("close", () => stream.destroy());
  return stream;
}

/** A container's output without docker's frames. */
export function withoutFrames(stream: Duplex): Duplex {
  const decoder = new FrameDecoder();
  const output = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (const { data } of decoder.push(chunk)) this.push(data);
      done();
    },
  });
  stream.on("error", () => output.end());
  stream.on("close", () => output.end());
  stream.pipe(output);
  // Duplex.from takes such a pair; its types know only web streams in it.
  const pair = { readable: output, writable: stream } as unknown as Iterable<unknown>;
  const both = Duplex.from(pair);
  both.on("close", () => stream.destroy());
  return both;
}
