// The caller's streams and terminal as a warm process sees them: frames over the launcher's
// socket. Nothing of stdin is asked for before a command reads it.

import { constants } from "node:os";
import { type Duplex, Readable, Writable } from "node:stream";
import { GantryError } from "../base/index.ts";
import { type Input, type Io, type Output, type WindowSize, wantsColor } from "./io.ts";
import { encodeFrame, FRAME, type Hello } from "./protocol.ts";

const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

export class CallIo implements Io {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isRoot = process.getuid?.() === 0;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  #socket: Duplex;
  #size: WindowSize | undefined;
  #resizeListeners = new Set<() => void>();
  #signalListeners = new Set<(name: string) => void>();
  #input: Readable | undefined;
  #abort = new AbortController();
  #outputs: Writable[] = [];
  #eventListeners = new Set<(event: number) => void>();
  #answers: { resolve(answer: Buffer): void; reject(error: Error): void }[] = [];

  /** Its caller's process is at work for a while: what is done now delays nobody. */
  readonly onIdle: () => void;

  constructor(socket: Duplex, hello: Hello, size: WindowSize | undefined, onIdle: () => void) {
    this.onIdle = onIdle;
    this.#socket = socket;
    this.#size = size;
    this.argv = hello.argv;
    this.env = hello.env;
    this.cwd = hello.cwd;
    this.stdin = this.#makeInput(hello.terminals[0] === "1");
    this.stdout = this.#makeOutput(FRAME.stdout, hello.terminals[1] === "1");
    this.stderr = this.#makeOutput(FRAME.stderr, hello.terminals[2] === "1");
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  become(program: string): number {
    throw new GantryError("internal", `${program} needs a process of its own`);
  }
  windowSize(): WindowSize | undefined {
    return this.#size;
  }
  onResize(listener: () => void): () => void {
    this.#resizeListeners.add(listener);
    return () => this.#resizeListeners.delete(listener);
  }
  onSignal(listener: (name: string) => void): () => void {
    this.#signalListeners.add(listener);
    this.#send(FRAME.catchSignals, Buffer.from([1]));
    return () => {
      this.#signalListeners.delete(listener);
      if (this.#signalListeners.size === 0) this.#send(FRAME.catchSignals, Buffer.from([0]));
    };
  }

  /** Has the caller's own process do what `request` says (native/runtime.h) and resolves with its
   * answer. Only gantry-runtime can; requests are answered in their order. */
  native(request: Uint8Array): Promise<Buffer> {
    if (this.#abort.signal.aborted) return Promise.reject(callerGone());
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#answers.push({ resolve, reject });
    this.#send(FRAME.native, request);
    return promise;
  }

  /** What a request has the caller's process watch for (native/runtime.h). */
  onNativeEvent(listener: (event: number) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }

  /** A frame of the launcher that belongs to a call. */
  receive(type: number, payload: Buffer): void {
    if (type === FRAME.stdinData) this.#input?.push(Buffer.from(payload));
    else if (type === FRAME.stdinEnd) this.#input?.push(null);
    else if (type === FRAME.window && payload.length === 4) {
      this.#size = { rows: payload.readUInt16LE(0), columns: payload.readUInt16LE(2) };
      for (const listener of this.#resizeListeners) listener();
    } else if (type === FRAME.nativeAnswer) {
      this.#answers.shift()?.resolve(Buffer.from(payload));
    } else if (type === FRAME.nativeEvent && payload.length === 1) {
      for (const listener of this.#eventListeners) listener(payload[0]!);
    } else if (type === FRAME.signal && payload.length === 1) {
      const name = SIGNAL_NAMES.get(payload[0]!);
      if (name) for (const listener of this.#signalListeners) listener(name);
    }
  }

  /** The launcher is gone: whatever still runs has nobody to run for. */
  abandon(): void {
    this.#abort.abort();
    for (const { reject } of this.#answers.splice(0)) reject(callerGone());
    this.#input?.destroy();
    for (const output of this.#outputs) output.destroy();
  }

  /** Sends the exit code after everything that was written. */
  async finish(code: number): Promise<void> {
    await Promise.all(this.#outputs.map(ended));
    this.#socket.end(encodeFrame(FRAME.exit, Buffer.from([code & 0xff])));
  }

  #send(type: number, payload?: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(encodeFrame(type, payload)) : true;
  }

  #makeInput(isTerminal: boolean): Input {
    return {
      isTerminal,
      open: () => {
        this.#input ??= new Readable({
          read: () => void this.#send(FRAME.stdinWanted, Buffer.from([1])),
        });
        return this.#input;
      },
      setRaw: (on) => void this.#send(FRAME.raw, Buffer.from([on ? 1 : 0])),
      close: () => {
        if (!this.#input) return;
        this.#send(FRAME.stdinWanted, Buffer.from([0]));
        this.#input.destroy();
      },
    };
  }

  #makeOutput(type: number, isTerminal: boolean): Output {
    let made: Writable | undefined;
    const get = () => {
      if (made) return made;
      made = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          if (this.#send(type, chunk)) done();
          else this.#socket.once("drain", () => done());
        },
      });
      made.on("error", () => {});
      this.#outputs.push(made);
      return made;
    };
    return {
      isTerminal,
      color: isTerminal && wantsColor(this.env),
      columns: () => (isTerminal ? this.#size?.columns : undefined),
      get stream() {
        return get();
      },
      write: (data) => void get().write(data),
    };
  }
}

const callerGone = () => new GantryError("cancelled", "the caller is gone");

function ended(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (output.destroyed) return resolve();
    output.once("close", resolve);
    output.end();
  });
}
