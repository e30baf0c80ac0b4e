// The warm process: one of each user and build, started by the launcher, ended when idle. It runs
// commands for callers that are in the same namespaces, with the same identity and time zone;
// everyone else is declined and runs plain Node. Node cannot ask SO_PEERCRED, so a caller proves
// that it is the same user by a token that only this user can read, in a folder of mode 0700; the
// launcher asks SO_PEERCRED of this side.

import { timingSafeEqual } from "node:crypto";
import { readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CallIo } from "./call-io.ts";
import type { WindowSize } from "./io.ts";
import { decodeHello, encodeFrame, FRAME, FrameReader, type Hello } from "./protocol.ts";

/** Idle for so long, the process ends. */
const IDLE_MS_MAX = 5 * 60_000;
/** More calls at once run in plain Node. */
const CALLS_MAX = 64;
/** Nobody has called for so long: who calls now and then finds no collection in the way. */
const COLLECT_AFTER_MS = 30_000;
const HELLO_MS_MAX = 2_000;
/** The launcher has written them. */
const TOKEN_CHARS = 64;
/** The launcher has bound the socket: whoever calls before waits there. */
const LISTEN_AFTER_MS = 100;
const PRELOAD_AFTER_MS = 500;

const NAMESPACES = ["pid", "mnt", "user", "net", "uts", "cgroup"];

/** What the launcher's put_surroundings sends. */
function surroundings(): string {
  const links = NAMESPACES.map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const { dev, ino } = statSync("/", { bigint: true });
  return `${links.join(" ")} ${dev}:${ino}`;
}

/** Whether "uid:euid:gid:egid,group,… umask" of the launcher's is this process' own. */
function isOwnIdentity(text: string): boolean {
  const [who = "", mask] = text.split(" ");
  const [ids = "", ...groups] = who.split(",");
  const own = [process.getuid!(), process.geteuid!(), process.getgid!(), process.getegid!()];
  // Node counts the effective group among the others, the kernel need not.
  const all = new Set([...groups, String(own[3])]);
  const ours = new Set((process.getgroups?.() ?? []).map(String)).add(String(own[3]));
  const same = all.size === ours.size && [...all].every((group) => ours.has(group));
  return ids === own.join(":") && same && mask === process.umask().toString(8);
}

/** What a warm process does for its callers. */
export interface WarmProgram {
  /** Resolves with the exit code. */
  serve: (call: CallIo) => Promise<number>;
  /** Whether these arguments cannot be served for another process. */
  declines?: (argv: readonly string[]) => boolean;
  /** Loads what callers wait for. */
  preload?: () => Promise<unknown>;
}

/** Serves the callers of a socket that listens at `path` until nobody has called for a while.
 * `first` is the socket of whoever has started this process for its own call: it is served before
 * anything is done for later ones. */
export function serveWarm(
  path: string,
  program: WarmProgram,
  { listening, first }: { listening: number; first?: Duplex | undefined },
): void {
  let calls = 0;
  let isDeaf = false;
  let idle: NodeJS.Timeout;
  const leave = () => {
    try {
      // The lock is the last: who makes a new one finds nothing of ours, we touch nothing of it.
      const ours = ["", ".token", ".turn", ".lock"].map((suffix) => `${path}${suffix}`);
      for (const each of ours) rmSync(each, { force: true });
    } finally {
      process.exit(0);
    }
  };
  /** Nobody can call any more: who has called is served to the end. */
  const deafen = () => {
    isDeaf = true;
    if (calls === 0) leave();
  };
  const rest = () => {
    clearTimeout(idle);
    idle = setTimeout(() => {
      collectGarbage();
      idle = setTimeout(leave, IDLE_MS_MAX - COLLECT_AFTER_MS);
    }, COLLECT_AFTER_MS);
  };
  const accept = (socket: Duplex, isAccepted: (hello: Hello) => boolean, o: CallOptions = {}) => {
    calls++;
    clearTimeout(idle);
    return serveCall(socket, program, { isAccepted, ...o }).finally(() => {
      if (--calls > 0) return;
      if (isDeaf) leave();
      else rest();
    });
  };
  const listen = once(() => {
    let token = "";
    try {
      token = readFileSync(`${path}.token`, "latin1");
    } catch {}
    if (token.length !== TOKEN_CHARS) return deafen();
    const server = createServer((socket) => {
      if (calls < CALLS_MAX) void accept(socket, (hello) => isWelcome(hello, token));
      else socket.end(encodeFrame(FRAME.decline));
    });
    server.on("error", deafen);
    server.listen({ fd: listening });
  });
  const preload = once(() => void program.preload?.().catch(() => {}));
  rest();
  if (!first) {
    listen();
    preload();
    return;
  }
  // Listening takes Node some milliseconds: they pass while the caller's process is at work. The
  // next call finds the socket at the latest when this one has its answer.
  setTimeout(listen, LISTEN_AFTER_MS);
  setTimeout(preload, PRELOAD_AFTER_MS).unref();
  void accept(first, () => true, { onIdle: listen }).then(preload);
}

/** Gives back what V8 keeps of garbage: while a process is idle, it never collects any. */
function collectGarbage(): void {
  try {
    setFlagsFromString("--expose-gc");
    const collect: (o: object) => void = runInNewContext("gc");
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
  } catch {
    // It stays larger.
  }
}

interface CallOptions {
  /** Called when there is nothing to do for the call, and before its end is told. */
  onIdle?: () => void;
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    work();
  };
}

/** Serves the one call of a socket whose other end has started this process for it. */
export function serveOneCall(socket: Duplex, program: WarmProgram): Promise<void> {
  return serveCall(socket, program, { isAccepted: () => true });
}

async function serveCall(
  socket: Duplex,
  program: WarmProgram,
  { isAccepted, onIdle = () => {} }: CallOptions & { isAccepted: (hello: Hello) => boolean },
): Promise<void> {
  const reader = new FrameReader();
  let io: CallIo | undefined;
  let size: WindowSize | undefined;
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const deadline = setTimeout(() => socket.destroy(), HELLO_MS_MAX);
  socket.on("error", () => {});
  socket.once("close", () => {
    clearTimeout(deadline);
    io?.abandon();
  });
  const begin = (payload: Buffer) => {
    clearTimeout(deadline);
    const hello = decodeHello(payload);
    if (!hello || !isAccepted(hello) || program.declines?.(hello.argv)) {
      socket.end(encodeFrame(FRAME.decline));
      return;
    }
    socket.write(encodeFrame(FRAME.accept));
    const call = new CallIo(socket, hello, size, onIdle);
    io = call;
    void program
      .serve(call)
      .catch((error: unknown) => {
        call.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
        return 1;
      })
      .then((code) => {
        onIdle();
        return call.finish(code);
      });
  };
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const { type, payload } of reader.push(chunk)) {
        if (io) io.receive(type, payload);
        else if (type === FRAME.hello) begin(payload);
        else if (type === FRAME.window && payload.length === 4) {
          size = { rows: payload.readUInt16LE(0), columns: payload.readUInt16LE(2) };
        } else socket.destroy();
      }
    } catch {
      socket.destroy();
    }
  });
  await closed;
}

function isWelcome(hello: Hello, token: string): boolean {
  const given = Buffer.from(hello.token);
  const wanted = Buffer.from(token);
  return (
    given.length === wanted.length &&
    timingSafeEqual(given, wanted) &&
    hello.surroundings === surroundings() &&
    isOwnIdentity(hello.identity) &&
    hello.env["TZ"] === process.env["TZ"]
  );
}
