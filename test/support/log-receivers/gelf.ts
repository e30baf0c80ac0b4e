// A GELF input over UDP (chunks, gzip, zlib) or TCP (messages ended by zero bytes), as strict as
// Graylog's: version 1.1, a host, a text, additional fields with an underscore before their names.

import { createSocket } from "node:dgram";
import type { Socket } from "node:net";
import { unzipSync } from "node:zlib";
import { Inbox, listenStream, type Receiver, type StreamOptions } from "./received.ts";

export type GelfMessage = Record<string, unknown> & {
  host: string;
  short_message: string;
  timestamp: number;
  level: number;
};
export type GelfReceiver = Receiver<GelfMessage>;

const KNOWN = ["version", "host", "short_message", "full_message", "timestamp", "level"];
const CHUNK_HEAD_BYTES = 12;
const CHUNKS_MAX = 128;

function take(inbox: Inbox<GelfMessage>, text: string): void {
  let message: GelfMessage;
  try {
    message = JSON.parse(text) as GelfMessage;
  } catch {
    inbox.complain(`no JSON: ${text.slice(0, 200)}`);
    return;
  }
  const wrong = [
    message["version"] === "1.1" || "version",
    typeof message.host === "string" || "host",
    typeof message.short_message === "string" || "short_message",
    typeof message.timestamp === "number" || "timestamp",
    [3, 6].includes(message.level) || "level",
    ...Object.keys(message).map(
      (key) => KNOWN.includes(key) || (/^_[\w.-]+$/.test(key) && key !== "_id") || key,
    ),
  ].filter((one) => one !== true);
  if (wrong.length > 0) inbox.complain(`wrong: ${wrong.join(", ")}`);
  inbox.put(message);
}

function result(inbox: Inbox<GelfMessage>, port: number, close: () => Promise<void>) {
  return {
    port,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough: (got: readonly GelfMessage[]) => boolean) => inbox.until(enough),
    follow: (take: (message: GelfMessage) => void) => inbox.follow(take),
    [Symbol.asyncDispose]: close,
  };
}

export async function receiveGelfUdp(): Promise<GelfReceiver & { datagramBytesMax(): number }> {
  const inbox = new Inbox<GelfMessage>();
  const pending = new Map<string, Buffer[]>();
  let largest = 0;
  const socket = createSocket({ type: "udp4", recvBufferSize: 1024 * 1024 });
  socket.on("message", (datagram) => {
    largest = Math.max(largest, datagram.length);
    if (datagram[0] !== 0x1e || datagram[1] !== 0x0f) {
      unpack(datagram);
      return;
    }
    const id = datagram.toString("hex", 2, 10);
    const [number = 0, count = 0] = datagram.subarray(10, CHUNK_HEAD_BYTES);
    if (count < 2 || count > CHUNKS_MAX || number >= count) {
      inbox.complain(`chunk ${number} of ${count}`);
      return;
    }
    const chunks = pending.get(id) ?? [];
    chunks[number] = datagram.subarray(CHUNK_HEAD_BYTES);
    pending.set(id, chunks);
    if (Object.keys(chunks).length < count) return;
    pending.delete(id);
    unpack(Buffer.concat(chunks));
  });
  const unpack = (packed: Buffer) => {
    const isPacked = packed[0] === 0x1f || packed[0] === 0x78;
    take(inbox, String(isPacked ? unzipSync(packed) : packed));
  };
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const close = async () => void socket.close();
  return {
    ...result(inbox, socket.address().port, close),
    datagramBytesMax: () => largest,
  };
}

export async function receiveGelfTcp(
  o: StreamOptions & { onConnection?: (socket: Socket) => void } = {},
): Promise<GelfReceiver> {
  const inbox = new Inbox<GelfMessage>();
  const server = await listenStream(o, (socket) => {
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk as Buffer]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        take(inbox, rest.toString("utf8", 0, end));
        rest = rest.subarray(end + 1);
      }
    });
    o.onConnection?.(socket);
  });
  return result(inbox, server.port, () => server.close());
}
