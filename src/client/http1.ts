// HTTP/1.1 over one connection, no more than the Engine API needs: loading node:http would cost a
// command 15 ms of its start, and hijacked connections must leave the parser cleanly anyway.
// One request at a time; the connection is reusable once the answer's body has been read to its
// end. Implements RFC 9112 framing (Content-Length, chunked, until close).

import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";

const HEAD_BYTES_MAX = 256 * 1024;
const LF = 0x0a;

export type Headers = Record<string, string>;
/** A list is sent as a line for each value. */
export type RequestHeaders = Record<string, string | readonly string[]>;
export type Body = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface RawResponse {
  status: number;
  reason: string;
  headers: Headers; // lower-case names
  body: AsyncGenerator<Buffer, void, void>;
}

/** A connection with the bytes that were read from it but not yet consumed. */
export class HttpConnection {
  readonly socket: Duplex;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #onReadable = () => this.#wake?.();
  /** Something of an answer has arrived, so a request must not be sent again. */
  answered = false;
  /** May serve another request. */
  reusable = true;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on("readable", this.#onReadable);
    socket.on("end", () => this.#finish());
    socket.on("close", () => this.#finish());
    socket.on("error", (error: Error) => this.#finish(error));
  }

  get closed(): boolean {
    return this.#ended || this.socket.destroyed;
  }

  #finish(error?: Error): void {
    this.#ended = true;
    this.#error ??= error;
    this.#wake?.();
  }

  /** Waits for more bytes; false at the end of the stream. */
  async #fill(): Promise<boolean> {
    for (;;) {
      const chunk = this.socket.read() as Buffer | null;
      if (chunk !== null) {
        this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
        return true;
      }
      if (this.#error) throw this.#error;
      if (this.#ended) return false;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }

  async #line(): Promise<string> {
    for (let from = 0; ; ) {
      const end = this.#buffer.indexOf(LF, from);
      if (end >= 0) {
        const line = this.#buffer.toString("latin1", 0, end).replace(/\r$/, "");
        this.#buffer = this.#buffer.subarray(end + 1);
        return line;
      }
      from = this.#buffer.length;
      if (from > HEAD_BYTES_MAX) throw new GantryError("invalid", "HTTP header is too long");
      if (!(await this.#fill())) throw unexpectedEnd();
      this.answered = true;
    }
  }

  /** Sends one request and returns its answer once the head has arrived. */
  async request(
    method: string,
    path: string,
    headers: RequestHeaders,
    body?: Body,
  ): Promise<RawResponse> {
    this.answered = false;
    const plain = typeof body === "string" ? Buffer.from(body) : body;
    const all: RequestHeaders = { ...headers };
    if (plain instanceof Uint8Array) all["Content-Length"] = String(plain.byteLength);
    else if (plain !== undefined) all["Transfer-Encoding"] = "chunked";
    let head = `${method} ${path} HTTP/1.1\r\n`;
    for (const [name, given] of Object.entries(all)) {
      for (const value of typeof given === "string" ? [given] : given) {
        head += `${name}: ${value}\r\n`;
      }
    }
    head += "\r\n";
    if (plain instanceof Uint8Array) {
      this.socket.write(Buffer.concat([Buffer.from(head, "latin1"), plain]));
    } else {
      this.socket.write(head, "latin1");
      if (plain !== undefined) this.#sendChunked(plain);
    }
    return this.#response(method);
  }

  /** Streams the body while the answer is awaited: a daemon may refuse early. */
  #sendChunked(body: AsyncIterable<Uint8Array>): void {
    const send = async () => {
      for await (const chunk of body) {
        if (this.closed) return;
        if (chunk.byteLength === 0) continue;
        this.socket.write(`${chunk.byteLength.toString(16)}\r\n`);
        this.socket.write(chunk);
        if (!this.socket.write("\r\n")) await drained(this.socket);
      }
      this.socket.write("0\r\n\r\n");
    };
    send().catch((error: Error) => {
      this.#finish(error);
      this.socket.destroy();
    });
  }

  async #response(method: string): Promise<RawResponse> {
    for (;;) {
      const [, statusText, reason = ""] =
        /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(await this.#line()) ?? [];
      if (statusText === undefined) {
        this.socket.destroy();
        throw new GantryError("invalid", "malformed HTTP response");
      }
      const status = Number(statusText);
      const headers: Headers = {};
      for (let line = await this.#line(); line !== ""; line = await this.#line()) {
        const colon = line.indexOf(":");
        const name = line.slice(0, colon).toLowerCase();
        const value = line.slice(colon + 1).trim();
        headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
      }
      if (status < 200 && status !== 101) continue; // 100 Continue and friends
      if (headers["connection"]?.toLowerCase() === "close") this.reusable = false;
      return { status, reason, headers, body: this.#body(method, status, headers) };
    }
  }

  async *#body(
    method: string,
    status: number,
    headers: Headers,
  ): AsyncGenerator<Buffer, void, void> {
    let done = false;
    try {
      if (method === "HEAD" || status === 204 || status === 304) {
        // No body, whatever the headers say.
      } else if (/\bchunked\b/i.test(headers["transfer-encoding"] ?? "")) {
        yield* this.#chunked();
      } else if (headers["content-length"] !== undefined) {
        yield* this.#exactly(Number(headers["content-length"]));
      } else {
        this.reusable = false;
        yield* this.#untilClose();
      }
      done = true;
    } finally {
      if (!done || !this.reusable) this.socket.destroy();
    }
  }

  async *#exactly(length: number): AsyncGenerator<Buffer, void, void> {
    for (let left = length; left > 0; ) {
      if (this.#buffer.length === 0 && !(await this.#fill())) throw unexpectedEnd();
      const part = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async *#chunked(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const line = await this.#line();
      const size = Number.parseInt(line, 16);
      if (!/^[0-9a-f]+/i.test(line)) throw new GantryError("invalid", "malformed chunked encoding");
      if (size === 0) {
        while ((await this.#line()) !== "");
        return;
      }
      yield* this.#exactly(size);
      await this.#line();
    }
  }

  async *#untilClose(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      if (this.#buffer.length > 0) {
        const part = this.#buffer;
        this.#buffer = Buffer.alloc(0);
        yield part;
      }
      if (!(await this.#fill())) return;
    }
  }

  /** Hands the raw connection over; what was read ahead is pushed back onto it. */
  release(): Duplex {
    this.socket.removeListener("readable", this.#onReadable);
    this.reusable = false;
    if (this.#buffer.length > 0) this.socket.unshift(this.#buffer);
    this.#buffer = Buffer.alloc(0);
    return this.socket;
  }
}

function drained(socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}

function unexpectedEnd(): GantryError {
  return new GantryError("unavailable", "EOF", { detail: { eof: true } });
}
