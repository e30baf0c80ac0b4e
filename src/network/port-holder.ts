// Speaks with the port holder (native/ports.c), the process that really binds the published ports
// and outlives the daemon. Requests are lines; many may be under way, so publishing a range of a
// thousand ports is one write and one read.

import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { constants } from "node:os";
import { errnoOf, GantryError } from "../base/index.ts";
import { formatAddress, parseAddress } from "./addresses.ts";
import type { PublishedPort } from "./contract.ts";

type Protocol = PublishedPort["protocol"];

export interface HeldPort {
  key: string;
  protocol: Protocol;
  ip: string;
  port: number;
  target: { ip: string; port: number };
}

const ANSWER_LINE_BYTES_MAX = 1024;
const START_DEADLINE_MS = 10_000;
const VERSION = "1";

export interface PortHolder {
  readonly pid: number;
  /** Binds and listens. Returns undefined, or the name of the errno that the kernel gave. The
   * same key and address again changes the target only. */
  bind(port: HeldPort): Promise<string | undefined>;
  /** Lets go all ports of a key, or one of them; returns how many. */
  unbind(key: string, one?: Pick<HeldPort, "protocol" | "ip" | "port">): Promise<number>;
  list(): Promise<HeldPort[]>;
  /** Ends the holder and with it every port that it holds. */
  stop(): Promise<void>;
  /** Leaves; the holder goes on. */
  close(): void;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
}

/** Connects to the holder at `path`; undefined when none listens there. */
export async function connectPortHolder(path: string): Promise<PortHolder | undefined> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED"].includes(errnoOf(error) ?? "")) return undefined;
    throw new GantryError("unavailable", `Failed to connect to the port holder at ${path}`, {
      cause: error,
    });
  }
  return Connection.open(socket);
}

/** Connects to the holder, starting it first where it does not run. */
export async function startPortHolder(o: {
  path: string;
  /** The command before the socket's path: `gantry-native ports`. */
  command: readonly string[];
  /** How long it lives with nothing to hold and nobody connected. */
  idleMs?: number;
}): Promise<PortHolder> {
  const running = await connectPortHolder(o.path);
  if (running) return running;
  const [program = "", ...args] = o.command;
  const child = spawn(program, [...args, o.path, String(o.idleMs ?? 10_000)], {
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
      reject(
        new GantryError("unavailable", `Failed to start the port holder ${program}`, { cause }),
      );
    });
    // It closes its standard streams when it is ready, or ends.
    child.stdout
      .on("data", (chunk) => (said += chunk))
      .once("close", () => {
        clearTimeout(timer);
        resolve(said.startsWith("ready "));
      });
  });
  child.unref();
  // EADDRINUSE: another one started between our look and our start.
  const started = await connectPortHolder(o.path);
  if (!started) {
    const why = ready ? "it ended at once" : said.trim() || "it said nothing";
    throw new GantryError("unavailable", `Failed to start the port holder: ${why}`);
  }
  return started;
}

type Waiting = {
  items: string[][];
  resolve: (answer: { errno: string | undefined; count: number; items: string[][] }) => void;
  reject: (error: unknown) => void;
};

class Connection implements PortHolder {
  readonly pid: number;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #corked = false;

  static async open(socket: Socket): Promise<Connection> {
    socket.setEncoding("latin1");
    socket.on("error", () => {}); // "close" follows
    const lines = splitLines(socket);
    const hello = await new Promise<string>((resolve, reject) => {
      lines.onLine = resolve;
      socket.once("close", () =>
        reject(new GantryError("unavailable", "The port holder refused the connection")),
      );
    });
    const [name, version, pid] = hello.split(" ");
    if (name !== "gantry-ports" || version !== VERSION) {
      socket.destroy();
      throw new GantryError("unavailable", `The port holder speaks another version: "${hello}"`);
    }
    return new Connection(socket, lines, Number(pid));
  }

  private constructor(socket: Socket, lines: Lines, pid: number) {
    this.pid = pid;
    this.#socket = socket;
    lines.onLine = (line) => this.#answer(line);
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        const error = new GantryError("unavailable", "The port holder has ended");
        for (const waiting of this.#waiting.values()) waiting.reject(error);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  async bind(port: HeldPort): Promise<string | undefined> {
    const { target } = port;
    const { errno } = await this.#ask(
      `bind ${port.key} ${port.protocol} ${port.ip} ${port.port} ${target.ip} ${target.port}`,
    );
    return errno;
  }
  async unbind(key: string, one?: Pick<HeldPort, "protocol" | "ip" | "port">): Promise<number> {
    const tail = one ? ` ${one.protocol} ${one.ip} ${one.port}` : "";
    return (await this.#ask(`unbind ${key}${tail}`)).count;
  }
  async list(): Promise<HeldPort[]> {
    const { items } = await this.#ask("list");
    return items.map(([key = "", protocol, ip = "", port, targetIp = "", targetPort]) => ({
      key,
      protocol: protocol as Protocol,
      ip: canonical(ip),
      port: Number(port),
      target: { ip: canonical(targetIp), port: Number(targetPort) },
    }));
  }
  async stop(): Promise<void> {
    await this.#ask("stop");
    await this.closed;
  }
  close(): void {
    this.#socket.destroy();
  }

  #ask(request: string): Promise<{ errno: string | undefined; count: number; items: string[][] }> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new GantryError("unavailable", "The port holder has ended"));
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

function canonical(ip: string): string {
  const parsed = parseAddress(ip);
  return parsed ? formatAddress(parsed.family, parsed.value) : ip;
}
