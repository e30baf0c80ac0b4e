// One blob from a registry into a partial blob on the disk: in pieces, several at a time where the
// blob is large and the registry knows ranges, going on with what came before. Meanwhile bytes()
// gives the contiguous front, so that a layer is unpacked while its end is still on its way. Every
// byte is read back from the disk and hashed, the ones of an earlier run too; the stream ends well
// only if the digest is right. However fast the registry is, memory stays flat: the disk is the
// buffer.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf, GantryError, noteGarbage } from "../base/index.ts";
import type { DownloadLimits } from "./contract.ts";

/** What the store keeps of a blob that is on its way. */
export interface PartialBytes {
  readonly parts: readonly { start: number; length: number }[];
  append(start: number, chunks: readonly Uint8Array[]): Promise<void>;
  endPart(start: number): Promise<void>;
  read(start: number, offset: number, buffer: Uint8Array): Promise<number>;
  removePart(start: number): Promise<void>;
}
/** Asks for bytes; `offset` of the answer is where they really begin, -1 where nobody knows. */
export type OpenRange = (
  range: { from?: number; to?: number },
  signal: AbortSignal,
) => Promise<{ response: IncomingMessage; offset: number }>;

export const DOWNLOAD_LIMITS: DownloadLimits = {
  pieceBytes: 16 << 20,
  rangesMax: 3,
  attemptsMax: 5,
  progressBytes: 64 << 10,
  retryDelayMs: 1000,
  retryDelayMsMax: 16_000,
};
export interface DownloadEvents {
  /** How many bytes of the blob are on the disk. */
  onBytes?: (bytes: number) => void;
  /** Said once a second while it waits for another try. */
  onRetry?: (seconds: number) => void;
  /** How far bytes() has been read. */
  onRead?: (bytes: number) => void;
}
const writeBytes = 256 << 10;
const readBytes = 128 << 10;

type Piece = { start: number; at: number; end: number; busy: boolean };
type Wanted = { digest: string; size: number };

export class Download {
  readonly #wanted: Wanted;
  readonly #partial: PartialBytes;
  readonly #open: OpenRange;
  readonly #limits: DownloadLimits;
  readonly #events: DownloadEvents;
  /** In order, without gaps between them; the rest of the blob begins at #frontier. */
  #pieces: Piece[] = [];
  #frontier = 0;
  #here = 0;
  /** Undefined until the registry has shown whether it knows ranges. */
  #ranges: boolean | undefined;
  #failure: { error: unknown } | undefined;
  #wake = Promise.withResolvers<void>();
  /** All bytes were read, and they are the ones that the digest means. */
  verified = false;
  /** Bytes that an earlier run had left. */
  readonly resumedBytes: number;

  constructor(
    wanted: Wanted,
    partial: PartialBytes,
    open: OpenRange,
    { limits = {}, ...events }: DownloadEvents & { limits?: Partial<DownloadLimits> } = {},
  ) {
    this.#wanted = wanted;
    this.#partial = partial;
    this.#open = open;
    this.#limits = { ...DOWNLOAD_LIMITS, ...limits };
    this.#events = events;
    for (const { start, length } of partial.parts) this.#adopt(start, length);
    this.resumedBytes = this.#here;
  }

  get #isLarge(): boolean {
    return this.#wanted.size >= 2 * this.#limits.pieceBytes;
  }

  #adopt(start: number, length: number): void {
    const before = this.#pieces.at(-1);
    if (before) before.end = start;
    else if (start > 0) this.#pieces.push({ start: 0, at: 0, end: start, busy: false });
    const at = start + length;
    const { size } = this.#wanted;
    const end = this.#isLarge
      ? Math.min(size, Math.max(at, start + this.#limits.pieceBytes))
      : size;
    this.#pieces.push({ start, at, end, busy: false });
    this.#frontier = end;
    this.#here += length;
  }

  /** Brings every byte to the disk. Rejects when the tries are used up or the answer is no. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (this.#here < this.#wanted.size) {
      const before = this.#here;
      try {
        await this.#round(signal);
      } catch (error) {
        const moved = this.#here - before >= this.#limits.progressBytes;
        failures = moved ? 0 : failures + 1;
        if (signal.aborted || !isBroken(error) || failures >= this.#limits.attemptsMax) {
          this.#failure = { error: signal.aborted ? signal.reason : error };
          this.#announce();
          throw this.#failure.error;
        }
        if (!moved) await this.#pause(failures, signal);
      }
    }
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const { retryDelayMs, retryDelayMsMax } = this.#limits;
    let left = Math.min(retryDelayMsMax, retryDelayMs * 2 ** (failures - 1));
    for (; left > 0; left -= 1000) {
      this.#events.onRetry?.(Math.ceil(left / 1000));
      try {
        await delay(Math.min(1000, left), undefined, { signal });
      } catch {
        return; // the next round says why
      }
    }
  }

  /** Workers take pieces until none is left; the first that fails ends the round. */
  async #round(outer: AbortSignal): Promise<void> {
    outer.throwIfAborted();
    const stop = new AbortController();
    const signal = AbortSignal.any([outer, stop.signal]);
    const workers: Promise<void>[] = [];
    const work = async (): Promise<void> => {
      try {
        for (let piece = this.#take(); piece; piece = this.#take()) {
          await this.#fetch(piece, signal, hire);
        }
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    };
    // What goes wrong is in `stop`.
    const start = (): void => void workers.push(work().catch(() => {}));
    const hire = (): void => {
      while (workers.length < this.#limits.rangesMax && this.#hasWork()) start();
    };
    start();
    for (let at = 0; at < workers.length; at++) await workers[at];
    if (stop.signal.aborted) {
      if (this.#ranges === false) await this.#joinPieces();
      if (!(stop.signal.reason instanceof NoRanges)) throw stop.signal.reason;
    }
  }

  #take(): Piece | undefined {
    let piece = this.#pieces.find(({ at, end, busy }) => !busy && at < end);
    const { size } = this.#wanted;
    if (piece === undefined && this.#frontier < size) {
      const inPieces = this.#ranges !== false && this.#isLarge;
      const end = inPieces ? Math.min(size, this.#frontier + this.#limits.pieceBytes) : size;
      piece = { start: this.#frontier, at: this.#frontier, end, busy: false };
      this.#pieces.push(piece);
      this.#frontier = end;
    }
    if (piece) piece.busy = true;
    return piece;
  }

  #hasWork(): boolean {
    if (this.#frontier < this.#wanted.size) return true;
    return this.#pieces.some(({ at, end, busy }) => !busy && at < end);
  }

  async #fetch(piece: Piece, signal: AbortSignal, hire: () => void): Promise<void> {
    try {
      const { response, offset } = await this.#answer(piece, signal);
      try {
        if (this.#ranges) hire();
        await this.#receive(piece, response, piece.at - offset);
      } finally {
        if (!response.readableEnded) response.destroy();
      }
      if (piece.at < piece.end) {
        throw new GantryError("corrupt", "unexpected EOF", { detail: { cut: true } });
      }
    } finally {
      piece.busy = false;
      await this.#partial.endPart(piece.start);
    }
  }

  async #answer(piece: Piece, signal: AbortSignal) {
    const isWhole = piece.at === 0 && piece.end === this.#wanted.size;
    if (isWhole || this.#ranges === false) {
      const answer = await this.#open({}, signal);
      if (answer.offset === 0) return answer;
      answer.response.destroy();
      throw new GantryError("corrupt", "registry answered with a range that was not asked for");
    }
    const asked = { from: piece.at, ...(piece.end < this.#wanted.size ? { to: piece.end } : {}) };
    const answer = await this.#open(asked, signal).catch((error) => {
      // "Not satisfiable", or something in front of the registry that dislikes ranges.
      if (this.#ranges || ![400, 405, 416, 501].includes(statusOf(error))) throw error;
      this.#ranges = false;
      throw new NoRanges();
    });
    const { offset, response } = answer;
    // A server without ranges begins at 0. When nothing else is here or on its way, let it come.
    if (offset === 0 && piece.at > 0 && this.#pieces.length === 1 && response.statusCode === 200) {
      this.#ranges = false;
      piece.end = this.#wanted.size;
      this.#frontier = piece.end;
      return answer;
    }
    if (response.statusCode !== 206 || offset < 0 || offset > piece.at) {
      response.destroy();
      this.#ranges = false;
      throw new NoRanges();
    }
    this.#ranges = true;
    return answer;
  }

  /** One piece from here to the end, since the whole blob comes anyway. */
  async #joinPieces(): Promise<void> {
    const first = this.#pieces.findIndex(({ at, end }) => at < end);
    if (first < 0) return;
    for (const { start, at } of this.#pieces.splice(first + 1)) {
      await this.#partial.removePart(start);
      this.#here -= at - start;
    }
    this.#pieces[first]!.end = this.#wanted.size;
    this.#frontier = this.#wanted.size;
  }

  async #receive(piece: Piece, response: IncomingMessage, skipBytes: number): Promise<void> {
    let skip = skipBytes;
    let waiting: Uint8Array[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (bytes === 0) return;
      const chunks = waiting;
      const length = bytes;
      waiting = [];
      bytes = 0;
      await this.#partial.append(piece.start, chunks);
      noteGarbage(length);
      piece.at += length;
      this.#here += length;
      this.#announce();
      this.#events.onBytes?.(this.#here);
    };
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const from = Math.min(skip, chunk.length);
        skip -= from;
        const room = piece.end - piece.at - bytes;
        const excess = chunk.length - from > room;
        const useful = from === 0 && !excess ? chunk : chunk.subarray(from, from + room);
        if (excess && piece.end === this.#wanted.size) throw tooLong(this.#wanted);
        if (useful.length > 0) waiting.push(useful);
        bytes += useful.length;
        if (bytes >= writeBytes || response.readableLength === 0) await flush();
        if (piece.at + bytes >= piece.end && piece.end < this.#wanted.size) break;
      }
    } finally {
      await flush();
    }
  }

  #announce(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  /** The blob from its first byte on, as far as it has come and then as it comes. */
  async *bytes(signal: AbortSignal): AsyncGenerator<Buffer> {
    const wake = (): void => this.#announce();
    signal.addEventListener("abort", wake, { once: true });
    try {
      yield* this.#front(signal);
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  async *#front(signal: AbortSignal): AsyncGenerator<Buffer> {
    const { size, digest } = this.#wanted;
    const [algorithm = "", hex] = digest.split(":");
    const hash = createHash(algorithm);
    for (let at = 0; at < size; ) {
      const piece = this.#pieces.findLast(({ start }) => start <= at);
      if (piece === undefined || piece.at <= at) {
        if (this.#failure) throw this.#failure.error;
        signal.throwIfAborted();
        await this.#wake.promise;
        continue;
      }
      const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, piece.at - at));
      const read = await this.#partial.read(piece.start, at - piece.start, buffer);
      if (read === 0) throw new GantryError("internal", `Partial blob ${digest} has shrunk`);
      const chunk = read === buffer.length ? buffer : buffer.subarray(0, read);
      hash.update(chunk);
      noteGarbage(read);
      at += read;
      this.#events.onRead?.(at);
      if (at === size) this.#verify(hash.digest("hex") === hex);
      yield chunk;
    }
    if (size === 0) this.#verify(hash.digest("hex") === hex);
  }

  #verify(isRight: boolean): void {
    this.verified = isRight;
    if (isRight) return;
    const message = `filesystem layer verification failed for digest ${this.#wanted.digest}`;
    throw new GantryError("corrupt", message);
  }
}

/** Ends a round: the registry does not know ranges, which is no failure. */
class NoRanges extends Error {}

function statusOf(error: unknown): number {
  return error instanceof GantryError ? Number(error.detail["status"] ?? 0) : 0;
}

/** Worth another try: the network failed, not the content. */
export function isBroken(error: unknown): boolean {
  if (error instanceof GantryError) {
    const { status, cut, errno } = error.detail;
    if (typeof status === "number") return status >= 500 || status === 408 || status === 429;
    return cut === true || error.kind === "timeout" || (errno !== undefined && errno !== "");
  }
  return errnoOf(error) !== undefined;
}

function tooLong({ digest, size }: Wanted): GantryError {
  return new GantryError("corrupt", `blob ${digest} is longer than the ${size} bytes promised`);
}
