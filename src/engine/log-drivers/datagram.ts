// Datagrams: over UDP by Node, to unix sockets by a small native process a receiver, since Node has
// no unix datagram sockets. There the receiver holds a full queue back, and too large ones go as a
// sealed memory file where the receiver (journald) takes that.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { GantryError, messageOf } from "../../base/index.ts";
import { keptProgramPath } from "../../native/index.ts";
import { dialError } from "./dial.ts";
import { hostPort } from "./options.ts";

export interface DatagramSender {
  /** Resolves with how many were sent, from the front; rejects where it is none. A UDP receiver
   * that is not there is no error: nobody knows. */
  send(datagrams: readonly Buffer[], signal: AbortSignal): Promise<number>;
  close(): void;
}

const RECEIVE_TIMEOUT_MS = 60_000;
const ERRNO_BYTES = 4;
const LENGTH_BYTES = 4;
/** So many may be in the kernel's hands before the event loop is let in between. */
const BURST = 32;

/** Names are looked up once; throws in Go's words where there is none. */
export async function openUdp(
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<DatagramSender> {
  signal.throwIfAborted();
  let found: { address: string; family: number };
  try {
    found = await lookup(host || "localhost");
  } catch (error) {
    throw dialError("udp", hostPort(host, port), error);
  }
  const socket = createSocket(found.family === 6 ? "udp6" : "udp4");
  socket.on("error", () => {}); // each send hears of its own
  socket.unref();
  return {
    send: async (datagrams) => {
      await sendUdp(socket, datagrams, found.address, port);
      return datagrams.length;
    },
    close: () => socket.close(),
  };
}

async function sendUdp(
  socket: Socket,
  datagrams: readonly Buffer[],
  address: string,
  port: number,
): Promise<void> {
  for (let at = 0; at < datagrams.length; at += BURST) {
    await Promise.all(
      datagrams.slice(at, at + BURST).map(
        (datagram) =>
          new Promise<void>((resolve, reject) => {
            socket.send(datagram, port, address, (error) => {
              const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
              // A datagram that is too large can never be sent; a route may come back.
              if (code === "ENETUNREACH" || code === "EHOSTUNREACH") reject(error);
              else resolve();
            });
          }),
      ),
    );
  }
}

/** Connects to a unix datagram socket. `large`: what does not fit into a datagram is passed as a
 * sealed memory file. */
export async function openUnixDatagram(
  path: string,
  signal: AbortSignal,
  { large = false } = {},
): Promise<DatagramSender> {
  const sender = new UnixDatagrams(path, large);
  try {
    await sender.ready(signal);
    return sender;
  } catch (error) {
    sender.close();
    throw error;
  }
}

/** One that is too large for its receiver would be so the next time, too. */
const isSent = (errno: number): boolean => errno === 0 || errno === constants.errno.EMSGSIZE;

class UnixDatagrams implements DatagramSender {
  readonly #path: string;
  readonly #child: ChildProcess;
  #answers: Buffer = Buffer.alloc(0);
  #waiting: { resolve(errno: number): void; reject(error: unknown): void }[] = [];
  #ended: Error | undefined;

  constructor(path: string, large: boolean) {
    this.#path = path;
    const args = ["datagrams", path, ...(large ? ["large"] : [])];
    this.#child = spawn(keptProgramPath(), args, {
      stdio: ["pipe", "pipe", "ignore"],
      cwd: "/",
      env: {},
    });
    this.#child.once("error", (error) => this.#end(error));
    this.#child.once("exit", () => this.#end(new Error("the sender of datagrams has ended")));
    // A process that could not be started for want of descriptors has no pipes.
    this.#child.stdin?.on("error", () => {});
    this.#child.stdout?.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#child.unref();
    for (const pipe of [this.#child.stdin, this.#child.stdout]) {
      (pipe as unknown as { unref?: () => void } | undefined)?.unref?.();
    }
  }

  async ready(signal: AbortSignal): Promise<void> {
    const errno = await this.#answer(signal);
    if (errno !== 0) throw this.#error(errno);
  }

  async send(datagrams: readonly Buffer[], signal: AbortSignal): Promise<number> {
    const answers = Promise.allSettled(datagrams.map(() => this.#answer(signal)));
    for (const datagram of datagrams) {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32LE(datagram.length);
      this.#child.stdin!.write(length);
      this.#child.stdin!.write(datagram);
    }
    const settled = await answers;
    const bad = settled.findIndex((one) => one.status === "rejected" || !isSent(one.value));
    if (bad < 0) return datagrams.length;
    if (bad > 0) return bad;
    const first = settled[0]!;
    throw first.status === "rejected" ? first.reason : this.#error(first.value);
  }

  close(): void {
    this.#end(new Error("closed"));
    this.#child.stdin!.destroy();
    this.#child.stdout!.destroy();
    this.#child.kill("SIGKILL"); // it may wait for a receiver that does not read
  }

  #error(errno: number): GantryError {
    const code = getSystemErrorName(-errno);
    return dialError("unixgram", this.#path, Object.assign(new Error(code), { code }));
  }

  async #answer(signal: AbortSignal): Promise<number> {
    if (this.#ended) throw this.#ended;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#waiting.push({ resolve, reject });
    const stop = (error: unknown) => {
      this.#end(error instanceof Error ? error : new Error(messageOf(error)));
      this.#child.kill("SIGKILL");
    };
    const late = () => stop(new GantryError("timeout", "the receiver takes no datagrams"));
    const timer = setTimeout(late, RECEIVE_TIMEOUT_MS);
    const abort = () => stop(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  #take(chunk: Buffer): void {
    const all = Buffer.concat([this.#answers, chunk]);
    let at = 0;
    for (; at + ERRNO_BYTES <= all.length; at += ERRNO_BYTES) {
      this.#waiting.shift()?.resolve(all.readInt32LE(at));
    }
    this.#answers = Buffer.from(all.subarray(at));
  }

  #end(error: Error): void {
    this.#ended ??= new GantryError("unavailable", messageOf(error), { cause: error });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }
}
