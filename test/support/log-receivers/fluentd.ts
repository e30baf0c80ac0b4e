// A Fluentd input (forward protocol): batches of [time, record], acknowledged by their chunk, or
// answered in any other way that a test wants.

import type { Socket } from "node:net";
import { decodeMultiStream, ExtensionCodec, encode } from "@msgpack/msgpack";
import { Inbox, listenStream, type Receiver, type StreamOptions } from "./received.ts";

export interface FluentEvent {
  tag: string;
  /** Nanoseconds. */
  timeNano: bigint;
  precise: boolean;
  record: Record<string, string>;
}
export type FluentReceiver = Receiver<FluentEvent>;

class EventTime {
  readonly timeNano: bigint;
  constructor(data: Uint8Array) {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.timeNano = BigInt(view.getUint32(0)) * 1_000_000_000n + BigInt(view.getUint32(4));
  }
}

const extensionCodec = new ExtensionCodec();
extensionCodec.register({
  type: 0,
  encode: () => null,
  decode: (data) => new EventTime(data),
});

/** Says what to answer to a chunk; undefined: nothing. */
type Answer = (chunk: string, socket: Socket) => unknown;

export async function receiveFluentd(
  o: StreamOptions & { answer?: Answer; keepUnacknowledged?: boolean } = {},
): Promise<FluentReceiver> {
  const inbox = new Inbox<FluentEvent>();
  const answer = o.answer ?? ((chunk: string) => ({ ack: chunk }));
  const serve = async (socket: Socket) => {
    for await (const message of decodeMultiStream(socket, { extensionCodec })) {
      const [tag, entries, option] = message as [string, [unknown, unknown][], { chunk?: string }];
      if (typeof tag !== "string" || !Array.isArray(entries)) {
        inbox.complain("no forward message");
        continue;
      }
      for (const [time, record] of entries) {
        const precise = time instanceof EventTime;
        const timeNano = precise ? time.timeNano : BigInt(time as number) * 1_000_000_000n;
        inbox.put({ tag, timeNano, precise, record: record as Record<string, string> });
      }
      if (option?.chunk === undefined) continue;
      const said = answer(option.chunk, socket);
      if (said instanceof Uint8Array) socket.write(said);
      else if (said !== undefined) socket.write(encode(said));
    }
  };
  const server = await listenStream(o, (socket) => {
    serve(socket).catch(() => {}); // it was cut off
  });
  return {
    port: server.port,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
