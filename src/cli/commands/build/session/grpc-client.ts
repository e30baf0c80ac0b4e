// Calls of a gRPC service over a connection that is there already (the daemon's hijacked /grpc).

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from "node:http2";
import type { Duplex } from "node:stream";
import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GantryError, messageOf } from "../../../../base/index.ts";
import { codeError, FrameReader, framed, GRPC, statusError } from "../../../../wire/index.ts";

const WINDOW_BYTES = 4 << 20;

export interface CallOptions {
  signal: AbortSignal;
  /** gRPC metadata. */
  headers?: Readonly<Record<string, string>>;
}

export class GrpcClient {
  readonly #session: ClientHttp2Session;

  constructor(connection: Duplex) {
    this.#session = connect("http://localhost", {
      createConnection: () => connection,
      settings: { initialWindowSize: WINDOW_BYTES },
    });
    this.#session.on("connect", () => this.#session.setLocalWindowSize(WINDOW_BYTES));
    this.#session.on("error", () => {}); // each stream has it too
  }

  close(): void {
    this.#session.destroy();
  }

  async unary<M extends DescMethod>(
    method: M,
    input: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    for await (const output of this.stream(method, input, options)) return output;
    throw new GantryError("internal", `${method.name} ended without an answer`);
  }

  /** The answers of a call with one request. Throws the status with which it ended. */
  async *stream<M extends DescMethod>(
    method: M,
    input: MessageInitShape<M["input"]>,
    { signal, headers = {} }: CallOptions,
  ): AsyncGenerator<MessageShape<M["output"]>, void, void> {
    signal.throwIfAborted();
    if (this.#session.destroyed) throw gone();
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${method.parent.typeName}/${method.name}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const onAbort = () => stream.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    const status = statusOf(stream);
    try {
      stream.end(framed(toBinary(method.input, create(method.input, input))));
      const reader = new FrameReader();
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const messages: Buffer[] = [];
        reader.push(chunk, (message) => messages.push(message));
        for (const message of messages)
          yield fromBinary(method.output, message) as MessageShape<M["output"]>;
      }
      await status;
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      if (error instanceof GantryError) throw error;
      throw gone(error);
    } finally {
      status.catch(() => {});
      signal.removeEventListener("abort", onAbort);
      stream.destroy();
    }
    if (signal.aborted) throw cancelled(signal);
  }
}

function cancelled(signal: AbortSignal): GantryError {
  return new GantryError("cancelled", "context canceled", { cause: signal.reason });
}

function gone(cause?: unknown): GantryError {
  const why = cause === undefined ? "" : `: ${messageOf(cause)}`;
  return new GantryError("unavailable", `the connection to the daemon was lost${why}`, { cause });
}

/** Settles with the status that stands in the trailers, or in the headers of a refused call. */
function statusOf(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = false;
    const take = (headers: IncomingHttpHeaders & { ":status"?: number }) => {
      const http = headers[":status"];
      const isStatus = headers["grpc-status"] !== undefined;
      if (!isStatus && (http === undefined || http === 200)) return;
      seen = true;
      const error = isStatus
        ? statusError(headers)
        : codeError(GRPC.unknown, `HTTP status ${http}`);
      if (error) reject(error);
      else resolve();
    };
    stream.on("response", take);
    stream.on("trailers", take);
    stream.on("error", (error) => reject(gone(error)));
    stream.on("close", () => seen || reject(gone()));
  });
}
