// Answers the daemon's calls on a session's connection: there the client of the build is the gRPC
// server. Unknown calls are refused as unimplemented, which the daemon takes as "has none".

import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GantryError, messageOf } from "../../../../base/index.ts";
import {
  codeOf,
  encodedText,
  FrameReader,
  framed,
  GRPC,
  sendBytes,
} from "../../../../wire/index.ts";

const WINDOW_BYTES = 4 << 20;

export type Metadata = ReadonlyMap<string, readonly string[]>;

/** One call of the daemon's. */
export interface ServedCall {
  /** Every value of each name, as they came: HTTP/2 itself would join them by commas. */
  readonly metadata: Metadata;
  /** Aborted when the daemon has given the call up. */
  readonly signal: AbortSignal;
  /** Every message that comes; several at a time where they came together. */
  messages(): AsyncGenerator<Buffer[], void, void>;
  /** Sends bytes that are frames already; resolves when there is room for more. */
  sendFrames(frames: Uint8Array): Promise<void> | undefined;
}
export type CallHandler = (call: ServedCall) => Promise<void>;
export type Handlers = Map<string, CallHandler>;

export const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;

/** A handler of a call with one request and one answer. */
export function unary<M extends DescMethod>(
  method: M,
  answer: (
    input: MessageShape<M["input"]>,
    call: ServedCall,
  ) => Promise<MessageInitShape<M["output"]>> | MessageInitShape<M["output"]>,
): [string, CallHandler] {
  return [
    pathOf(method),
    async (call) => {
      const output = await answer(await oneMessage(method, call), call);
      await call.sendFrames(framed(toBinary(method.output, create(method.output, output))));
    },
  ];
}

/** The request of a call that has one. */
export async function oneMessage<M extends DescMethod>(
  method: M,
  call: ServedCall,
): Promise<MessageShape<M["input"]>> {
  for await (const messages of call.messages()) {
    if (messages[0]) return fromBinary(method.input, messages[0]) as MessageShape<M["input"]>;
  }
  throw new GantryError("invalid", `${method.name} came without a request`);
}

/** Serves until the connection ends; the returned function ends it. */
export function serveCalls(
  connection: Duplex,
  handlers: Handlers,
): { close(): void; closed: Promise<void> } {
  const server = createServer({ settings: { initialWindowSize: WINDOW_BYTES } });
  let session: ServerHttp2Session | undefined;
  server.on("session", (made) => {
    session = made;
    made.setLocalWindowSize(WINDOW_BYTES);
    made.on("error", () => {});
  });
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers, _flags, raw) => {
    const handler = handlers.get(headers[":path"] ?? "");
    void serveOne(stream as ServerHttp2Stream, metadataOf(raw), handler);
  });
  const closed = new Promise<void>((resolve) => connection.once("close", () => resolve()));
  server.emit("connection", connection);
  return {
    closed,
    close() {
      session?.destroy();
      connection.destroy();
    },
  };
}

function metadataOf(raw: readonly string[]): Metadata {
  const metadata = new Map<string, string[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const values = metadata.get(name);
    if (values) values.push(raw[at + 1]!);
    else metadata.set(name, [raw[at + 1]!]);
  }
  return metadata;
}

async function serveOne(
  stream: ServerHttp2Stream,
  metadata: Metadata,
  handler: CallHandler | undefined,
): Promise<void> {
  stream.on("error", () => {});
  const respondWith = (code: number, message: string) => {
    if (stream.destroyed || stream.closed) return;
    const trailers = {
      "grpc-status": String(code),
      ...(message === "" ? {} : { "grpc-message": encodedText(message) }),
    };
    if (!stream.headersSent) {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", ...trailers },
        { endStream: true },
      );
      return;
    }
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end();
  };
  if (!handler) {
    stream.resume();
    respondWith(GRPC.unimplemented, `unknown method ${metadata.get(":path")}`);
    return;
  }
  const call = new StreamCall(stream, metadata);
  try {
    await handler(call);
    call.begin();
    respondWith(GRPC.ok, "");
  } catch (error) {
    respondWith(codeOf(error), messageOf(error));
  } finally {
    stream.resume();
  }
}

class StreamCall implements ServedCall {
  readonly metadata: Metadata;
  readonly signal: AbortSignal;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, metadata: Metadata) {
    const abort = new AbortController();
    this.#stream = stream;
    this.metadata = metadata;
    this.signal = abort.signal;
    stream.once("close", () => abort.abort(new GantryError("cancelled", "the call was given up")));
  }

  /** Headers go out before the first message. */
  begin(): void {
    if (this.#stream.headersSent || this.#stream.destroyed) return;
    this.#stream.respond(
      { ":status": 200, "content-type": "application/grpc" },
      { waitForTrailers: true },
    );
  }

  async *messages(): AsyncGenerator<Buffer[], void, void> {
    this.begin();
    const reader = new FrameReader();
    const chunks = this.#stream.iterator({ destroyOnReturn: false });
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      const messages: Buffer[] = [];
      reader.push(chunk, (message) => messages.push(message));
      if (messages.length > 0) yield messages;
    }
    if (reader.isCut) throw new GantryError("invalid", "a call ended within a message");
  }

  sendFrames(frames: Uint8Array): Promise<void> | undefined {
    this.begin();
    if (this.#stream.destroyed) throw new GantryError("cancelled", "the call was given up");
    return sendBytes(this.#stream, frames);
  }
}
