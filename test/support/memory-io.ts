// A caller whose streams are in memory: for tests of commands within the test's process.

import { Readable, Writable } from "node:stream";
import type { Io, Output } from "../../src/cli/io.ts";

export interface MemoryIo extends Io {
  stdoutText(): string;
  stderrText(): string;
}

export function memoryIo(
  argv: readonly string[],
  {
    env = {},
    stdin = "",
    cwd = "/",
  }: { env?: Record<string, string>; stdin?: string; cwd?: string } = {},
): MemoryIo {
  const [out, outText] = memoryOutput();
  const [err, errText] = memoryOutput();
  const input = Readable.from([Buffer.from(stdin)]);
  return {
    argv,
    env,
    cwd,
    isRoot: true,
    stdin: {
      isTerminal: false,
      open: () => input,
      setRaw: () => {},
      close: () => void input.destroy(),
    },
    stdout: out,
    stderr: err,
    windowSize: () => undefined,
    become: (program) => {
      throw new Error(`${program} would take this process' place`);
    },
    onResize: () => () => {},
    onSignal: () => () => {},
    signal: new AbortController().signal,
    stdoutText: outText,
    stderrText: errText,
  };
}

function memoryOutput(): [Output, () => string] {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const output = {
    isTerminal: false,
    color: false,
    columns: () => undefined,
    stream,
    write: (data: string | Uint8Array) => void stream.write(data),
  };
  return [output, () => Buffer.concat(chunks).toString("utf8")];
}
