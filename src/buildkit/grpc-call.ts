// One gRPC call that the daemon makes to a client over its session. Messages are pushed to whoever
// asked as they come; `pause` stops the client through HTTP/2's flow control, so nothing is queued
// without bound. The signal resets the stream.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { GantryError } from "../base/index.ts";
import { FrameReader, framed, sendBytes, statusError } from "../wire/index.ts";

export type Metadata = Readonly<Record<string, string | readonly string[]>>;

export interface CallOptions {
  /** "/package.Service/Method" */
  path: string;
  metadata?: Metadata | undefined;
  signal: AbortSignal;
  /** May throw: the call fails with it. */
  message(bytes: Buffer): void;
  /** Exactly once, after the last message. Undefined: the call succeeded. */
  ended(error: unknown): void;
}

export class GrpcCall {
  readonly #stream: ClientHttp2Stream;
  readonly #o: CallOptions;
  readonly #frames = new FrameReader();
  #trailers: IncomingHttpHeaders | undefined;
  #failure: unknown;
  #status: number | undefined;
  readonly #onAbort = (): void => this.cancel(this.#o.signal.reason);

  constructor(session: ClientHttp2Session, o: CallOptions) {
    this.#o = o;
    o.signal.throwIfAborted();
    this.#stream = session.request(headersOf(o), { endStream: false });
    this.#stream.on("response", (headers) => this.#head(headers));
    this.#stream.on("trailers", (headers) => {
      this.#trailers = headers;
    });
    this.#stream.on("data", (chunk: Buffer) => this.#data(chunk));
    // A server that has ended its half has ended the call, whatever is still to be sent.
    this.#stream.on("end", () => this.#stream.close(constants.NGHTTP2_NO_ERROR));
    this.#stream.on("error", (error) => {
      this.#failure ??= error;
    });
    this.#stream.on("close", () => this.#close());
    o.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Sends a message. A promise where the client has to catch up first. */
  send(message: Uint8Array): Promise<void> | undefined {
    return this.sendFrames(framed(message));
  }

  /** Sends bytes that are frames already. */
  sendFrames(frames: Uint8Array): Promise<void> | undefined {
    if (this.#stream.destroyed || this.#stream.writableEnded) return undefined;
    return sendBytes(this.#stream, frames);
  }

  /** No more messages from here. */
  finish(): void {
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Ends the call at once; `ended` gets this error. */
  cancel(error: unknown): void {
    this.#failure ??= error ?? new GantryError("cancelled", "the call was cancelled");
    if (this.#stream.destroyed) return;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    // A paused stream would wait for somebody to read what nobody wants.
    this.#stream.resume();
  }

  #head(headers: IncomingHttpHeaders & { ":status"?: number }): void {
    this.#status = headers[":status"];
    if (headers["grpc-status"] !== undefined) this.#trailers = headers;
  }

  #data(chunk: Buffer): void {
    if (this.#failure !== undefined || this.#status !== constants.HTTP_STATUS_OK) return;
    try {
      this.#frames.push(chunk, (message) => {
        if (this.#failure === undefined) this.#o.message(message);
      });
    } catch (error) {
      this.cancel(error);
    }
  }

  #close(): void {
    this.#o.signal.removeEventListener("abort", this.#onAbort);
    this.#o.ended(this.#outcome());
  }

  #outcome(): unknown {
    if (this.#trailers?.["grpc-status"] !== undefined && this.#failure === undefined) {
      const error = statusError(this.#trailers);
      if (error || !this.#frames.isCut) return error;
      return new GantryError("corrupt", "the client's answer ends within a message");
    }
    const cause = this.#failure;
    if (cause instanceof GantryError || this.#o.signal.aborted) return cause;
    if (this.#status !== undefined && this.#status !== constants.HTTP_STATUS_OK) {
      return new GantryError("unavailable", `the client answered with HTTP ${this.#status}`);
    }
    return new GantryError("cancelled", "the client has gone", { cause });
  }
}

function headersOf({ path, metadata = {} }: CallOptions): OutgoingHttpHeaders {
  return {
    ":method": "POST",
    ":path": path,
    ":scheme": "http",
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "gantry",
    ...(metadata as OutgoingHttpHeaders),
  };
}
