// What the receivers of the log drivers' tests have in common: each is a strict server of one
// protocol that keeps what it was sent, and complains of whatever breaks the protocol.

import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { within } from "../deadline.ts";

export interface Receiver<T> extends AsyncDisposable {
  readonly port: number;
  readonly got: T[];
  /** What was wrong with what came. */
  readonly complaints: string[];
  /** Resolves when `enough` says so of what came, and throws when it does not for a minute. */
  until(enough: (got: readonly T[]) => boolean): Promise<void>;
  /** Each message as it comes, for ever. */
  follow(take: (message: T) => void): void;
}

/** Keeps messages and wakes those who wait for them. */
export class Inbox<T> {
  readonly got: T[] = [];
  readonly complaints: string[] = [];
  #waiting: (() => void)[] = [];
  #followers: ((message: T) => void)[] = [];

  put(message: T): void {
    this.got.push(message);
    for (const take of this.#followers) take(message);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  complain(what: string): void {
    this.complaints.push(what);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  follow(take: (message: T) => void): void {
    for (const message of this.got) take(message);
    this.#followers.push(take);
  }

  async until(enough: (got: readonly T[]) => boolean): Promise<void> {
    const what = () => `more than ${this.got.length} messages; complaints: ${this.complaints}`;
    while (!enough(this.got)) {
      await within(what, new Promise<void>((resolve) => this.#waiting.push(resolve)));
    }
  }
}

export interface StreamOptions {
  /** Default: one that is free. */
  port?: number;
  path?: string;
  tls?: TlsOptions;
}

export interface StreamServer {
  port: number;
  server: Server;
  sockets: Set<Socket>;
  close(): Promise<void>;
}

/** Listens on loopback, or on a path. Closing ends its connections too. */
export async function listenStream(
  { port = 0, path, tls }: StreamOptions,
  serve: (socket: Socket) => void,
): Promise<StreamServer> {
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    serve(socket);
  };
  const server = tls ? createTlsServer(tls, accept) : createServer(accept);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const done = () => resolve();
    if (path === undefined) server.listen(port, "127.0.0.1", done);
    else server.listen(path, done);
  });
  return {
    port: path === undefined ? (server.address() as AddressInfo).port : 0,
    server,
    sockets,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
