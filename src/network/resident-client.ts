// Speaks with the network's resident helpers (native/resident.c): the port holder and the resolver,
// which outlive the daemon. Requests are lines; many may be under way, so a thousand of them are
// one write and one read.

import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { constants } from "node:os";
import { errnoOf, GantryError } from "../base/index.ts";

const ANSWER_LINE_BYTES_MAX = 1024;
const START_DEADLINE_MS = 10_000;
const STARTS_MAX = 5;
const IDLE_MS_DEFAULT = 10_000;

/** Which helper, and how it greets: "gantry-ports 1". */
export interface ResidentKind {
  /** For messages: "port holder". */
  called: string;
  greeting: string;
  /** One of another version gives way to ours: it holds nothing that cannot be made again. */
  replaced?: boolean;
}
export interface ResidentStart {
  path: string;
  /** The command before the socket's path: `gantry-native ports`. */
  command: readonly string[];
  /** How long it lives with nothing to hold and nobody connected. */
  idleMs?: number | undefined;
}
export interface ResidentAnswer {
  /** The name of the errno of a refusal. */
  errno: string | undefined;
  count: number;
  items: string[][];
}

/** Connects to the helper at `path`; undefined when none listens there. */
export async function connectResident(
  kind: ResidentKind,
  path: string,
  { lastLook = false } = {},
): Promise<ResidentClient | undefined> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED"].includes(errnoOf(error) ?? "")) return undefined;
    throw new GantryError("unavailable", `Failed to connect to the ${kind.called} at ${path}`, {
      cause: error,
    });
  }
  const client = await ResidentClient.open(kind, socket).catch((error) => {
    // One that ends takes its path away before it hangs up: look again, once.
    if (lastLook) throw error;
    return undefined;
  });
  if (client === undefined) return await connectResident(kind, path, { lastLook: true });
  if (client.speaks) return client;
  if (kind.replaced) {
    await client.stop();
    return undefined;
  }
  client.close();
  const message = `The ${kind.called} speaks another version: "${client.hello}"`;
  throw new GantryError("unavailable", message);
}

/** Connects to the helper, starting it first where it does not run. */
export async function startResident(kind: ResidentKind, o: ResidentStart): Promise<ResidentClient> {
  let why = "";
  // Another one that we found in our way may have ended by the time that we turn to it.
  for (let turn = 0; turn < STARTS_MAX; turn++) {
    const running = await connectResident(kind, o.path);
    if (running) return running;
    why = await spawnResident(kind, o);
  }
  const started = await connectResident(kind, o.path);
  if (started) return started;
  throw new GantryError("unavailable", `Failed to start the ${kind.called}: ${why}`);
}

/** Returns when it is ready or has ended, with why it could not be spoken to then. */
async function spawnResident(kind: ResidentKind, o: ResidentStart): Promise<string> {
  const [program = "", ...args] = o.command;
  const child = spawn(program, [...args, o.path, String(o.idleMs ?? IDLE_MS_DEFAULT)], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
    cwd: "/",
    env: {},
  });
  let said = "";
  const ready = await new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), START_DEADLINE_MS);
    child.once("error", (cause) => {
      clearTimeout(timer);
      const message = `Failed to start the ${kind.called} ${program}`;
      reject(new GantryError("unavailable", message, { cause }));
    });
    // It closes its standard streams when it is ready, or ends. None are there after EMFILE.
    child.stdout
      ?.on("data", (chunk) => (said += chunk))
      .once("close", () => {
        clearTimeout(timer);
        resolve(said.startsWith("ready "));
      });
  });
  child.unref();
  return ready ? "it ended at once" : said.trim() || "it said nothing";
}

type Waiting = {
  items: string[][];
  resolve: (answer: ResidentAnswer) => void;
  reject: (error: unknown) => void;
};

export class ResidentClient {
  readonly hello: string;
  readonly pid: number;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #kind: ResidentKind;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #corked = false;

  static async open(kind: ResidentKind, socket: Socket): Promise<ResidentClient> {
    socket.setEncoding("latin1");
    socket.on("error", () => {}); // "close" follows
    const lines = splitLines(socket);
    const hello = await new Promise<string>((resolve, reject) => {
      lines.onLine = resolve;
      socket.once("close", () =>
        reject(new GantryError("unavailable", `The ${kind.called} refused the connection`)),
      );
    });
    return new ResidentClient(kind, socket, lines, hello);
  }

  private constructor(kind: ResidentKind, socket: Socket, lines: Lines, hello: string) {
    this.hello = hello;
    this.pid = Number(hello.split(" ").at(-1));
    this.#kind = kind;
    this.#socket = socket;
    lines.onLine = (line) => this.#answer(line);
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        const error = this.#ended();
        for (const waiting of this.#waiting.values()) waiting.reject(error);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** Whether it speaks our version; "stop" is understood in all of them. */
  get speaks(): boolean {
    return this.hello.startsWith(`${this.#kind.greeting} `);
  }

  /** Sends one request; refusals are answers, not errors. */
  ask(request: string): Promise<ResidentAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(this.#ended());
        return;
      }
      const id = this.#nextId++;
      this.#waiting.set(id, { items: [], resolve, reject });
      if (!this.#corked) {
        this.#corked = true;
        this.#socket.cork();
        setImmediate(() => {
          this.#corked = false;
          this.#socket.uncork();
        });
      }
      this.#socket.write(`${id} ${request}\n`);
    });
  }

  /** Ends the helper and with it everything that it holds. */
  async stop(): Promise<void> {
    await this.ask("stop");
    await this.closed;
  }
  /** Leaves; the helper goes on. */
  close(): void {
    this.#socket.destroy();
  }

  #ended(): GantryError {
    return new GantryError("unavailable", `The ${this.#kind.called} has ended`);
  }

  #answer(line: string): void {
    const [id, verb, ...rest] = line.split(" ");
    const waiting = this.#waiting.get(Number(id));
    if (!waiting) return;
    if (verb === "item") {
      waiting.items.push(rest);
      return;
    }
    this.#waiting.delete(Number(id));
    const number = Number(rest[0]);
    const errno = verb === "error" ? errnoName(number) : undefined;
    waiting.resolve({ errno, count: verb === "ok" ? number : 0, items: waiting.items });
  }
}

interface Lines {
  onLine: (line: string) => void;
}

function splitLines(socket: Socket): Lines {
  let rest = "";
  const lines: Lines = { onLine: () => {} };
  socket.on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    for (const part of parts) lines.onLine(part);
    if (rest.length > ANSWER_LINE_BYTES_MAX) socket.destroy();
  });
  return lines;
}

function errnoName(number: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === number);
  return found?.[0] ?? `errno ${number}`;
}
