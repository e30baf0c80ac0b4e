// What a command may touch of the outside: its streams, its terminal, its environment. Commands
// never use `process` themselves, because a warm process runs them for a caller elsewhere whose
// streams and folder are not its own.

import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";

export interface WindowSize {
  rows: number;
  columns: number;
}

export interface Output {
  readonly isTerminal: boolean;
  /** It is a terminal whose user has nothing against colours. */
  readonly color: boolean;
  /** The width of a terminal; undefined elsewhere. */
  columns(): number | undefined;
  /** Created on first use. */
  readonly stream: Writable;
  write(data: string | Uint8Array): void;
}

export interface Input {
  readonly isTerminal: boolean;
  /** Nothing is read from the caller's stdin before this is called and its data is wanted. */
  open(): Readable;
  setRaw(on: boolean): void;
  /** Stops reading, so that the process may end. */
  close(): void;
}

export interface Io {
  /** Arguments without the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isRoot: boolean;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** The terminal's size, undefined when there is none. */
  windowSize(): WindowSize | undefined;
  onResize(listener: () => void): () => void;
  /** Receives every signal that can be caught, until the returned function is called. */
  onSignal(listener: (name: string) => void): () => void;
  /** Lets another program take this one's place; where that cannot be, it throws. */
  become(program: string, args: readonly string[], env: Record<string, string>): number;
  /** Aborted when the caller is gone or has asked to stop. */
  readonly signal: AbortSignal;
}

/** A path as the caller means it. */
export function callerPath(io: Io, path: string): string {
  return resolve(io.cwd, path);
}

/** Writes and waits while the reader is slow. */
export function writeAll(out: Output, data: Uint8Array): Promise<void> | undefined {
  if (out.stream.write(data)) return undefined;
  return new Promise((done) => {
    const finish = () => {
      out.stream.off("drain", finish);
      out.stream.off("close", finish);
      out.stream.off("error", finish);
      done();
    };
    out.stream.on("drain", finish);
    out.stream.on("close", finish);
    out.stream.on("error", finish);
  });
}

/** Whether a caller wants colours on a terminal (https://no-color.org). */
export function wantsColor(env: Readonly<Record<string, string | undefined>>): boolean {
  return !env["NO_COLOR"] && env["TERM"] !== "dumb";
}
