// Byte streams between plans and TypeScript (archives): a unix socket of the daemon, to which a
// `connect` operation connects and sends a random token first. A connection whose token nobody
// awaits is closed; a token is good once.

import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";

const TOKEN_BYTES = 16;
const TOKEN_WAIT_MS = 10_000;

type Waiting = { resolve: (stream: Duplex) => void; reject: (error: unknown) => void };

export class StreamRendezvous {
  #path: string;
  #server: Server | undefined;
  #waiting = new Map<string, Waiting>();

  constructor(folder: string) {
    this.#path = join(folder, `streams-${process.pid}-${randomBytes(3).toString("hex")}.sock`);
  }

  open(): { path: string; token: Uint8Array; stream: Promise<Duplex>; close(): void } {
    this.#listen();
    const token = randomBytes(TOKEN_BYTES);
    const key = token.toString("hex");
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    promise.catch(() => {}); // a plan that fails first leaves nobody to await it
    this.#waiting.set(key, { resolve, reject });
    const close = () => {
      if (!this.#waiting.delete(key)) return;
      reject(new GantryError("cancelled", "The stream was closed before it was connected"));
    };
    return { path: this.#path, token, stream: promise, close };
  }

  close(): void {
    this.#server?.close();
    this.#server = undefined;
    rmSync(this.#path, { force: true });
    for (const { reject } of this.#waiting.values()) {
      reject(new GantryError("unavailable", "The native program was closed"));
    }
    this.#waiting.clear();
  }

  // listen() binds before it returns control to a plan: the path exists when open() has returned,
  // since node binds unix sockets synchronously.
  #listen(): void {
    if (this.#server) return;
    this.#server = createServer((socket) => this.#greet(socket));
    this.#server.on("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
    const old = process.umask(0o177);
    try {
      this.#server.listen(this.#path);
    } finally {
      process.umask(old);
    }
    this.#server.unref();
  }

  #greet(socket: Socket): void {
    let head = Buffer.alloc(0);
    socket.setTimeout(TOKEN_WAIT_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    const onReadable = () => {
      const chunk = socket.read(TOKEN_BYTES - head.length) ?? socket.read();
      if (chunk === null) return;
      head = Buffer.concat([head, chunk]);
      if (head.length < TOKEN_BYTES) return;
      socket.off("readable", onReadable);
      socket.setTimeout(0);
      const key = head.toString("hex", 0, TOKEN_BYTES);
      const waiting = this.#waiting.get(key);
      this.#waiting.delete(key);
      if (waiting === undefined) return void socket.destroy();
      socket.removeAllListeners("error");
      if (head.length > TOKEN_BYTES) socket.unshift(head.subarray(TOKEN_BYTES));
      waiting.resolve(socket);
    };
    socket.on("readable", onReadable);
  }
}
