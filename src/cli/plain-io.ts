// The streams and the terminal of this very process, for a command that runs in plain Node.

import { spawnSync } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { isatty, type ReadStream } from "node:tty";
import { wantsColor } from "../warm/index.ts";
import type { Input, Io, Output, WindowSize } from "./io.ts";

/** What `docker` passes on to a container; SIGCHLD, SIGPIPE and SIGWINCH have other meanings. */
export const PROXIED_SIGNALS = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGALRM",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
] as const;

export function plainIo(argv: readonly string[]): Io {
  const abort = new AbortController();
  return {
    argv,
    env: process.env,
    cwd: process.cwd(),
    isRoot: process.getuid?.() === 0,
    stdin: plainInput(),
    stdout: plainOutput(1, () => process.stdout),
    stderr: plainOutput(2, () => process.stderr),
    windowSize,
    become: (program, args, env) => process.execve!(program, [program, ...args], env),
    onResize: (listener) => {
      process.on("SIGWINCH", listener);
      return () => process.off("SIGWINCH", listener);
    },
    onSignal: (listener) => {
      const heard = PROXIED_SIGNALS.map((name) => {
        const on = () => listener(name);
        process.on(name, on);
        return () => process.off(name, on);
      });
      return () => {
        for (const stop of heard) stop();
      };
    },
    signal: abort.signal,
  };
}

function windowSize(): WindowSize | undefined {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.isTTY) continue;
    const [columns, rows] = stream.getWindowSize();
    if (rows > 0 && columns > 0) return { rows, columns };
  }
  return undefined;
}

function plainInput(): Input {
  let opened: Readable | undefined;
  return {
    isTerminal: isatty(0),
    open() {
      opened ??= process.stdin;
      return opened;
    },
    setRaw(on) {
      (process.stdin as ReadStream).setRawMode?.(on);
      // Node's raw mode goes on turning \n into \r\n, which the container's terminal has done.
      if (on) spawnSync("stty", ["-opost"], { stdio: [0, "ignore", "ignore"] });
    },
    close() {
      opened?.destroy();
    },
  };
}

function plainOutput(fd: number, stream: () => Writable): Output {
  let prepared: Writable | undefined;
  const get = () => {
    if (!prepared) {
      prepared = stream();
      prepared.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "EPIPE") process.exit(1);
      });
    }
    return prepared;
  };
  const isTerminal = isatty(fd);
  return {
    isTerminal,
    color: isTerminal && wantsColor(process.env),
    columns: () => (isTerminal ? windowSize()?.columns : undefined),
    get stream() {
      return get();
    },
    write: (data) => void get().write(data),
  };
}
