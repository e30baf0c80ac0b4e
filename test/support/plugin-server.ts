// A plugin of docker's v1 protocol on a unix socket: answers what a test gives it, and remembers
// what it was asked.

import { mkdirSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { dirname, join } from "node:path";

export interface PluginCall {
  method: string;
  body: Record<string, unknown>;
}
type Answers = Record<string, (body: Record<string, unknown>) => unknown>;

export class PluginServer {
  readonly socket: string;
  readonly calls: PluginCall[] = [];
  /** "VolumeDriver.Create" → what is answered; an Error is status 500 with its message as Err. */
  readonly answers: Answers;
  #server: Server | undefined;

  constructor(socket: string, answers: Answers) {
    this.socket = socket;
    this.answers = answers;
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.socket), { recursive: true });
    await rm(this.socket, { force: true });
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const method = (request.url ?? "").slice(1);
        const text = Buffer.concat(chunks).toString();
        const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
        this.calls.push({ method, body });
        let answer: unknown;
        try {
          answer = this.answers[method]?.(body);
          if (answer === undefined) response.statusCode = 404;
        } catch (error) {
          response.statusCode = 500;
          answer = { Err: (error as Error).message };
        }
        response.setHeader("Content-Type", "application/vnd.docker.plugins.v1.2+json");
        response.end(JSON.stringify(answer ?? { Err: `no ${method}` }));
      });
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.socket, resolve);
    });
  }

  /** As if the program had been killed: its socket file stays or goes. */
  async stop({ leaveSocket = false } = {}): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    // Closing removes the socket: a name that it does not know stays.
    if (leaveSocket) await rename(this.socket, `${this.socket}.left`);
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    if (leaveSocket) await rename(`${this.socket}.left`, this.socket);
  }

  /** How often a method was called, with these members in the body. */
  count(method: string, body: Record<string, unknown> = {}): number {
    const fits = (call: PluginCall): boolean =>
      Object.entries(body).every(([key, value]) => call.body[key] === value);
    return this.calls.filter((call) => call.method === method && fits(call)).length;
  }
}

/** A volume plugin whose volumes are folders beneath `root`. */
export function volumePlugin(socket: string, root: string, { scope = "local" } = {}): PluginServer {
  const volumes = new Map<string, { options: unknown; users: Set<unknown> }>();
  const find = (name: unknown): { options: unknown; users: Set<unknown> } => {
    const found = volumes.get(String(name));
    if (!found) throw new Error(`no volume ${name}`);
    return found;
  };
  const path = (name: unknown): string => join(root, String(name));
  const shown = (name: string): object => ({
    Name: name,
    Mountpoint: find(name).users.size > 0 ? path(name) : "",
    CreatedAt: "2026-01-02T03:04:05Z",
    Status: { users: find(name).users.size },
  });
  const server = new PluginServer(socket, {
    "Plugin.Activate": () => ({ Implements: ["VolumeDriver"] }),
    "VolumeDriver.Create": ({ Name, Opts }) => {
      if ((Opts as Record<string, string> | undefined)?.["fail"]) throw new Error("disk on fire");
      volumes.set(String(Name), { options: Opts, users: new Set() });
      return { Err: "" };
    },
    "VolumeDriver.Remove": ({ Name }) => {
      if (find(Name).users.size > 0) return { Err: `volume ${Name} is mounted` };
      volumes.delete(String(Name));
      return {};
    },
    "VolumeDriver.Mount": ({ Name, ID }) => {
      find(Name).users.add(ID);
      mkdirSync(path(Name), { recursive: true });
      return { Mountpoint: path(Name) };
    },
    "VolumeDriver.Unmount": ({ Name, ID }) => {
      if (!find(Name).users.delete(ID)) return { Err: `${ID} has not mounted ${Name}` };
      return {};
    },
    "VolumeDriver.Path": ({ Name }) => ({ Mountpoint: path(Name) }),
    "VolumeDriver.Get": ({ Name }) => ({ Volume: shown(String(Name)) }),
    "VolumeDriver.List": () => ({ Volumes: [...volumes.keys()].map(shown) }),
    "VolumeDriver.Capabilities": () => ({ Capabilities: { Scope: scope } }),
  });
  return server;
}
