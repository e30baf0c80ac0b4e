// Unpacks frames of compressed logs in a thread of its own, into memory that is used again. Node's
// own way makes new memory for each frame, by which the collector of a large heap is woken again
// and again: reading a compressed log took twice the time. Only long reads come here; the thread
// starts with the first of them, and ends when there was none for a while.

import { Worker } from "node:worker_threads";
import { damagedLog } from "./compressed.ts";

const IDLE_MS = 2_000;
const HEAP_MEGABYTES = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 48 };

/** As text: whatever becomes of this file in a bundle, its thread is in it. Memory is sent once:
 * each time it is sent its size is new to the collector. */
const THREAD = `
const { parentPort } = require("node:worker_threads");
const { zstdDecompressSync } = require("node:zlib");
const memories = new Map();
parentPort.on("message", ({ id, slot, memory, packed, bytes }) => {
  if (memory) memories.set(slot, new Uint8Array(memory));
  try {
    const o = { chunkSize: Math.max(bytes, 64), maxOutputLength: Math.max(bytes, 1) };
    const plain = zstdDecompressSync(packed, o);
    memories.get(slot).set(plain);
    parentPort.postMessage({ id, bytes: plain.length });
  } catch (error) {
    parentPort.postMessage({ id, error: error.message });
  }
});`;

interface Waiting {
  resolve(bytes: number): void;
  reject(error: unknown): void;
}
type Answer = { id: number; bytes: number; error?: undefined } | { id: number; error: string };
interface Slot {
  number: number;
  memory: SharedArrayBuffer;
}

export class Unpacker {
  #worker: Worker | undefined;
  #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #slots = 0;
  #spare: Slot[] = [];
  #lent = new Map<ArrayBufferLike, Slot>();
  #idle: NodeJS.Timeout | undefined;

  /** Whether the thread is there already. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** How many pieces of memory have been made so far. */
  get made(): number {
    return this.#slots;
  }

  /** The content of a frame that has at most `bytes`. Give it back with `recycle`. */
  async unpack(packed: Buffer, bytes: number): Promise<Buffer> {
    clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#start());
    const spare = this.#spare.findIndex(({ memory }) => memory.byteLength >= bytes);
    const known = spare < 0 ? undefined : this.#spare.splice(spare, 1)[0];
    const slot = known ?? { number: this.#slots++, memory: new SharedArrayBuffer(bytes) };
    const { number, memory } = slot;
    const id = ++this.#lastId;
    worker.ref();
    try {
      const length = await new Promise<number>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        worker.postMessage({ id, slot: number, packed, bytes, ...(!known && { memory }) });
      });
      this.#lent.set(memory, slot);
      return Buffer.from(memory, 0, length);
    } finally {
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#rest(worker);
    }
  }

  /** Nobody reads this content any more. */
  recycle({ buffer }: Buffer): void {
    const slot = this.#lent.get(buffer);
    if (slot) this.#spare.push(slot);
    this.#lent.delete(buffer);
  }

  #start(): Worker {
    const worker = new Worker(THREAD, { eval: true, resourceLimits: HEAP_MEGABYTES });
    worker.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer.bytes);
      else waiting?.reject(damagedLog(new Error(answer.error)));
    });
    worker.on("error", (error) => this.#end(worker, error));
    worker.on("exit", () => this.#end(worker, new Error("the thread has ended")));
    return worker;
  }

  /** The thread holds up no program's end. */
  #rest(worker: Worker): void {
    worker.unref();
    this.#idle = setTimeout(() => {
      this.#end(worker, new Error("the thread was idle"));
      void worker.terminate();
    }, IDLE_MS).unref();
  }

  #end(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#spare = [];
    this.#lent.clear();
    for (const waiting of this.#waiting.values()) waiting.reject(error);
  }
}

/** All logs share it: one that reads keeps a core busy. */
export const unpacker = new Unpacker();
