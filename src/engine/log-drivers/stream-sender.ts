// Sends over a connection, and connects again where it is gone. Where the protocol acknowledges
// nothing (syslog, GELF) the kernel takes bytes that the receiver may never read: what was written
// in the last moments before a break is sent again, so that lines are doubled rather than lost.

import { on } from "node:events";
import type { Socket } from "node:net";
import { GantryError, messageOf } from "../../base/index.ts";
import { dial, type Endpoint } from "./dial.ts";

const DIAL_TIMEOUT_MS = 10_000;
/** A receiver that takes nothing, or that does not answer, for so long is taken for dead. */
const STALL_MS = 60_000;
const ANSWER_BYTES_MAX = 64 * 1024;
/** How long a line may lie unread at a receiver that is well, and how many bytes we keep of them. */
const UNSURE_MS = 2_000;
const UNSURE_BYTES_MAX = 2 * 1024 * 1024;

type Written = { bytes: Buffer; atMs: number };

export class StreamSender {
  readonly #endpoint: Endpoint;
  readonly #replays: boolean;
  readonly #stallMs: number;
  #socket: Socket | undefined;
  #broken: Error | undefined;
  /** What the receiver may not have read yet, oldest first. */
  #unsure: Written[] = [];
  #unsureBytes = 0;
  #resend: Buffer[] = [];
  #forgetting: NodeJS.Timeout | undefined;

  /** `replays`: off where every message is acknowledged. */
  constructor(endpoint: Endpoint, { replays = true, stallMs = STALL_MS } = {}) {
    this.#endpoint = endpoint;
    this.#replays = replays;
    this.#stallMs = stallMs;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#socket) return;
    const socket = await dial(this.#endpoint, { timeoutMs: DIAL_TIMEOUT_MS, signal });
    this.#socket = socket;
    this.#broken = undefined;
    socket.on("error", (error) => this.#lost(socket, error));
    socket.once("close", () => this.#lost(socket, new Error("the receiver closed the connection")));
    socket.once("end", () => this.#lost(socket, new Error("the receiver closed the connection")));
    socket.resume(); // what it says unasked is of no interest, but must not fill up
    socket.unref();
  }

  /** Resolves when the kernel has taken all of it. */
  async send(bytes: Buffer, signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    while (this.#resend.length > 0) {
      await this.#write(this.#resend[0]!, signal);
      this.#resend.shift();
    }
    await this.#write(bytes, signal);
  }

  /** Sends, and gives what the receiver says next to `take`, which throws if it is not content. */
  async exchange(
    bytes: Buffer,
    take: (answers: AsyncIterable<Uint8Array>) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.connect(signal);
    const socket = this.#socket;
    if (!socket) throw this.#broken ?? new Error("the connection is closed");
    const late = AbortSignal.timeout(STALL_MS);
    const patience = AbortSignal.any([signal, late]);
    const chunks = on(socket, "data", { signal: patience, close: ["close"] });
    try {
      await this.#write(bytes, signal);
      await take(bounded(chunks));
    } catch (error) {
      signal.throwIfAborted();
      const why = late.aborted ? new Error("the receiver does not acknowledge") : broken(error);
      this.#lost(socket, why);
      throw broken(why);
    } finally {
      await chunks.return?.();
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#forgetting);
    // What the kernel has taken it goes on delivering.
    socket?.destroySoon();
  }

  async #write(bytes: Buffer, signal: AbortSignal): Promise<void> {
    const socket = this.#socket;
    if (!socket) throw this.#broken ?? new GantryError("unavailable", "the connection is closed");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const closed = () => reject(this.#broken ?? new Error("the connection is closed"));
    const abort = () => reject(signal.reason);
    const stalled = () => reject(new Error("i/o timeout: the receiver takes nothing"));
    socket.setTimeout(this.#stallMs, stalled);
    socket.once("close", closed);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      await promise;
      if (this.#replays) this.#remember(bytes);
    } catch (error) {
      this.#lost(socket, broken(error)); // half of it may be written
      throw signal.aborted ? signal.reason : broken(error);
    } finally {
      socket.setTimeout(0, stalled);
      socket.removeListener("timeout", stalled);
      socket.removeListener("close", closed);
      signal.removeEventListener("abort", abort);
    }
  }

  #remember(bytes: Buffer): void {
    this.#unsure.push({ bytes, atMs: Date.now() });
    this.#unsureBytes += bytes.length;
    this.#forgetOld();
  }

  #forgetOld(): void {
    const now = Date.now();
    while (this.#unsure.length > 0) {
      const { atMs, bytes } = this.#unsure[0]!;
      if (now - atMs < UNSURE_MS && this.#unsureBytes <= UNSURE_BYTES_MAX) break;
      this.#unsure.shift();
      this.#unsureBytes -= bytes.length;
    }
    clearTimeout(this.#forgetting);
    if (this.#unsure.length === 0) return;
    this.#forgetting = setTimeout(() => this.#forgetOld(), UNSURE_MS);
    this.#forgetting.unref();
  }

  #lost(socket: Socket, error: Error): void {
    socket.destroy();
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#broken = broken(error);
    this.#forgetOld();
    this.#resend.unshift(...this.#unsure.map(({ bytes }) => bytes));
    this.#unsure = [];
    this.#unsureBytes = 0;
  }
}

async function* bounded(chunks: AsyncIterable<unknown[]>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const [chunk] of chunks) {
    bytes += (chunk as Buffer).length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error("the receiver answers too much");
    yield chunk as Buffer;
  }
}

function broken(error: unknown): GantryError {
  return error instanceof GantryError
    ? error
    : new GantryError("unavailable", messageOf(error), { cause: error });
}
