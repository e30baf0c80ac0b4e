// `Monitor` over a container's monitor socket: one CONTROL connection for events and requests, one
// connection for each attach and exec. Any daemon may connect at any time: this is how a restarted
// one takes its containers up again.

import { readFile } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { ExitStatus, Monitor } from "./contract.ts";
import { encodeExec, encodeProcess } from "./encode.ts";
import { decodeFailure } from "./failure.ts";
import { Cursor, encodeFrame, type Frame, FrameReader, frameType } from "./frames.ts";
import type { Plan } from "./operations.ts";

type Pending = { resolve: () => void; reject: (error: unknown) => void };
type Exit = PromiseWithResolvers<ExitStatus>;

/** Exits of execs that nobody has asked for yet are kept, up to so many. */
const EARLY_EXITS_MAX = 256;

class MonitorClient implements Monitor {
  readonly pid: number;
  readonly initPid: number;
  readonly startTicks: bigint;
  readonly exited: Promise<ExitStatus>;
  readonly closed: Promise<void>;
  #path: string;
  #socket: Socket;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #exits = new Map<string, Exit>();
  #early = new Map<string, ExitStatus>();
  #oomListeners: (() => void)[] = [];
  #logListeners: (() => void)[] = [];
  #lost: GantryError | undefined;
  #byUs = false;

  constructor(path: string, socket: Socket, reader: FrameReader, hello: Cursor) {
    this.#path = path;
    this.#socket = socket;
    this.pid = hello.u32();
    this.initPid = hello.u32();
    this.startTicks = hello.u64();
    const init = Promise.withResolvers<ExitStatus>();
    init.promise.catch(() => {});
    this.#exits.set("", init);
    this.exited = init.promise;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#lose();
        resolve();
      });
    });
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) this.#take(frame);
    });
    for (const frame of reader.push(Buffer.alloc(0))) this.#take(frame);
  }

  onOom(listener: () => void): void {
    this.#oomListeners.push(listener);
  }

  onLogRotated(listener: () => void): void {
    this.#logListeners.push(listener);
  }

  release(process = ""): void {
    this.#request(frameType.release, encodeProcess(process)).catch(() => {});
  }

  async kill(process: string, signal: number): Promise<void> {
    await this.#request(frameType.kill, encodeProcess(process, [{ width: 4, value: signal }]));
  }

  async resize(process: string, rows: number, columns: number): Promise<void> {
    const size = [rows, columns].map((value) => ({ width: 2 as const, value: value & 0xffff }));
    await this.#request(frameType.resize, encodeProcess(process, size));
  }

  async exec(
    execId: string,
    plan: Plan,
    options: { terminal: boolean; openStdin: boolean; holdMs: number },
  ): Promise<{ pid: number; startTicks: bigint; exited: Promise<ExitStatus> }> {
    const payload = encodeExec(execId, options, plan);
    const { answer, socket } = await call(this.#path, frameType.exec, payload);
    socket.destroy();
    if (answer.type !== frameType.ok) throw decodeFailure(answer.payload, plan);
    const cursor = new Cursor(answer.payload);
    return { pid: cursor.u32(), startTicks: cursor.u64(), exited: this.#exitOf(execId) };
  }

  async attach(
    process: string,
    streams: { stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<Duplex> {
    const mask = (streams.stdin ? 1 : 0) | (streams.stdout ? 2 : 0) | (streams.stderr ? 4 : 0);
    const payload = encodeProcess(process, [{ width: 1, value: mask }]);
    const { answer, socket, rest } = await call(this.#path, frameType.attach, payload);
    if (answer.type !== frameType.ok) {
      socket.destroy();
      throw decodeFailure(answer.payload);
    }
    if (rest.length > 0) socket.unshift(rest);
    return socket;
  }

  close(): void {
    this.#byUs = true;
    this.#socket.destroy();
  }

  #exitOf(process: string): Promise<ExitStatus> {
    const early = this.#early.get(process);
    if (early !== undefined) {
      this.#early.delete(process);
      return Promise.resolve(early);
    }
    if (this.#lost) return Promise.reject(this.#lost);
    const exit = Promise.withResolvers<ExitStatus>();
    exit.promise.catch(() => {});
    this.#exits.set(process, exit);
    return exit.promise;
  }

  async #request(type: number, payload: Buffer): Promise<void> {
    if (this.#lost) throw this.#lost;
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pending.set(id, { resolve, reject });
    this.#socket.write(encodeFrame(id, type, payload));
    await promise;
  }

  #take({ id, type, payload }: Frame): void {
    if (type === frameType.exit) {
      this.#takeExit(new Cursor(payload));
      return;
    }
    if (type === frameType.oom) {
      for (const listener of this.#oomListeners) listener();
      return;
    }
    if (type === frameType.log) {
      for (const listener of this.#logListeners) listener();
      return;
    }
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (type === frameType.ok) pending?.resolve();
    else if (type === frameType.fail) pending?.reject(decodeFailure(payload));
  }

  #takeExit(cursor: Cursor): void {
    const process = cursor.str();
    const code = cursor.i32();
    const signal = cursor.i32();
    const oomKilled = cursor.u8() !== 0;
    const finishedAt = dateOf(cursor.i64(), cursor.u32());
    const status = { code, signal, oomKilled, finishedAt };
    const exit = this.#exits.get(process);
    if (exit !== undefined) {
      exit.resolve(status);
      this.#exits.delete(process);
      return;
    }
    if (process === "") return;
    this.#early.set(process, status);
    if (this.#early.size > EARLY_EXITS_MAX) this.#early.delete(this.#early.keys().next().value!);
  }

  #lose(): void {
    const message = this.#byUs
      ? "The connection to the container's monitor was closed"
      : "The container's monitor has ended";
    this.#lost = new GantryError("unavailable", message);
    for (const { reject } of this.#pending.values()) reject(this.#lost);
    for (const { reject } of this.#exits.values()) reject(this.#lost);
    this.#pending.clear();
    this.#exits.clear();
  }
}

function dateOf(seconds: bigint, nanoseconds: number): Date {
  return new Date(Number(seconds) * 1000 + Math.floor(nanoseconds / 1e6));
}

/** Opens a connection, sends its first frame and awaits the answer; the socket is then paused. */
function call(
  path: string,
  type: number,
  payload: Buffer,
): Promise<{ answer: Frame; socket: Socket; reader: FrameReader; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const reader = new FrameReader();
    const fail = (cause?: unknown) => {
      socket.destroy();
      reject(new GantryError("unavailable", "The container's monitor does not answer", { cause }));
    };
    const onClose = () => fail();
    // "readable", not "data": the caller gets a socket that nobody has put into flowing mode.
    const onReadable = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) reader.add(chunk);
      // One frame only: what follows it may be a raw stream.
      const answer = reader.next();
      if (answer === undefined) return;
      socket.off("readable", onReadable).off("error", fail);
      socket.off("close", onClose).off("end", onClose);
      socket.on("error", () => socket.destroy());
      const raw = type === frameType.attach;
      resolve({ answer, socket, reader, rest: raw ? reader.rest() : Buffer.alloc(0) });
    };
    socket.on("readable", onReadable).on("error", fail).on("close", onClose).on("end", onClose);
    socket.write(encodeFrame(1, type, payload));
  });
}

/** Connects to a container's monitor. Throws unavailable when there is none at `socketPath`. */
export async function connectMonitor(
  socketPath: string,
): Promise<Monitor & { readonly initPid: number; readonly startTicks: bigint }> {
  const { answer, socket, reader } = await call(socketPath, frameType.control, Buffer.alloc(0));
  if (answer.type !== frameType.hello) {
    socket.destroy();
    throw new GantryError("internal", "The container's monitor speaks another protocol");
  }
  const client = new MonitorClient(socketPath, socket, reader, new Cursor(answer.payload));
  socket.resume();
  return client;
}

/** Reads the record that a monitor wrote when init exited; undefined when there is none. */
export async function readExitRecord(path: string): Promise<ExitStatus | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const match = /^1 (\d+) (\d+) ([01]) (\d+) (\d+)\n$/.exec(text);
  if (!match) throw new GantryError("corrupt", `The exit record ${path} is malformed`);
  const [, code, signal, oom, seconds, nanoseconds] = match;
  return {
    code: Number(code),
    signal: Number(signal),
    oomKilled: oom === "1",
    finishedAt: dateOf(BigInt(seconds!), Number(nanoseconds)),
  };
}
