// The connection on which the daemon calls a client: HTTP/2 with the roles turned round, over a
// hijacked socket or a tunnel. When it ends, whatever still waits for the client fails.

import { type ClientHttp2Session, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";
import { type CallOptions, GrpcCall, type Metadata } from "./grpc-call.ts";

/** A stream's window: how much of a folder may be under way before the daemon has read it. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024;
const MEMORY_MEGABYTES = 64;

/** The API's connections may be half open, which HTTP/2's are not: a client that ends has gone. */
export function endWhole(socket: Duplex): void {
  socket.once("end", () => socket.destroy());
}

export class ClientConnection {
  readonly #session: ClientHttp2Session;
  readonly #gone = new AbortController();
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;

  constructor(socket: Duplex) {
    endWhole(socket);
    this.#session = connect("http://localhost", {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
      maxSessionMemory: MEMORY_MEGABYTES,
    });
    this.#session.once("connect", () => {
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    });
    this.#session.on("error", () => {});
    this.#session.on("goaway", () => this.#session.close());
    this.ended = new Promise((resolve) => {
      this.#session.once("close", () => {
        this.#gone.abort(new GantryError("cancelled", "the client has gone"));
        resolve();
      });
    });
  }

  /** Aborted when the client has gone. */
  get closed(): AbortSignal {
    return this.#gone.signal;
  }

  /** Throws when the client has gone. */
  call(o: CallOptions): GrpcCall {
    this.closed.throwIfAborted();
    if (this.#session.closed || this.#session.destroyed) {
      throw new GantryError("cancelled", "the client has gone");
    }
    return new GrpcCall(this.#session, o);
  }

  /** A request with one answer. */
  async ask(
    path: string,
    request: Uint8Array,
    { signal, metadata }: { signal: AbortSignal; metadata?: Metadata },
  ): Promise<Buffer> {
    const answer = Promise.withResolvers<Buffer>();
    let found: Buffer | undefined;
    const call = this.call({
      ...{ path, signal, metadata },
      message: (bytes) => {
        found ??= Buffer.from(bytes);
      },
      ended: (error) => {
        if (error !== undefined) answer.reject(error);
        else if (found) answer.resolve(found);
        else answer.reject(new GantryError("corrupt", `the client answered ${path} with nothing`));
      },
    });
    void call.send(request);
    call.finish();
    return await answer.promise;
  }

  close(): void {
    this.#session.destroy();
  }
}
