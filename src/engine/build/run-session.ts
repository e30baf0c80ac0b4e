// What a step gets of the client for as long as it runs: secrets as files or variables, and sockets
// that lead to the client's ssh agent. They lie beneath the exec root, which is memory on a usual
// machine, never beneath the data root; nothing of them is in a layer, a cache key or the history.
// What a crash leaves is removed at the next boot, before anything else runs.

import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { GantryError, type Rollback } from "../../base/index.ts";
import type { RunMount } from "../../build/index.ts";
import type { EngineContext } from "../context.ts";
import type { BuildSession } from "./session.ts";

type Secret = Extract<RunMount, { type: "secret" }>;
type Agent = Extract<RunMount, { type: "ssh" }>;

export interface GiftPlace {
  engine: EngineContext;
  session?: BuildSession | undefined;
}
/** A file or socket to be mounted, and variables to be set. */
export interface Gift {
  mount?: { source: string; target: string };
  env?: string;
}

const FOLDER = "b";
const SECRET_MODE = 0o400;
const AGENT_MODE = 0o600;
/** BuildKit's and Kubernetes' limit; a client of theirs sends no more. */
const SECRET_BYTES_MAX = 500 * 1024;
const CONNECTIONS_MAX = 64;

/** Whose agent a step asks without saying where. */
export const agentTarget = (number: number): string => `/run/buildkit/ssh_agent.${number}`;

/** Undefined: the client has none, and the step can do without. Throws invalid otherwise. */
export async function giveSecret(
  place: GiftPlace,
  mount: Secret,
  { undo, signal }: { undo: Rollback; signal: AbortSignal },
): Promise<Gift | undefined> {
  const { id, target, env, required } = mount;
  const bytes = await place.session?.secret(id, { signal });
  if (bytes === undefined) {
    // The variable is there all the same, as in BuildKit.
    if (!required) return env === undefined ? undefined : { env: `${env}=` };
    throw new GantryError("invalid", `secret ${id}: not found`);
  }
  if (bytes.length > SECRET_BYTES_MAX) {
    throw new GantryError("invalid", `secret ${id} is larger than ${SECRET_BYTES_MAX} bytes`);
  }
  const variable = env === undefined ? {} : { env: `${env}=${textOf(id, bytes)}` };
  if (target === undefined) return variable;
  const source = join(await ownFolder(place.engine, undo), "secret");
  await writeFile(source, bytes, { flag: "wx", mode: 0o600 });
  await give(source, mount, SECRET_MODE);
  return { mount: { source, target }, ...variable };
}

function textOf(id: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("utf8");
  if (text.includes("\0")) {
    throw new GantryError("invalid", `secret ${id} has a zero byte: no variable can hold it`);
  }
  return text;
}

/** A socket for this step alone; every connection to it is one to the client's agent. */
export async function giveAgent(
  place: GiftPlace,
  mount: Agent & { target: string },
  { undo, signal }: { undo: Rollback; signal: AbortSignal },
): Promise<Gift | undefined> {
  const { session } = place;
  const { id, target, required } = mount;
  if (session === undefined || !(await session.hasSshAgent(id, { signal }))) {
    if (!required) return undefined;
    const message = `no SSH key ${JSON.stringify(id)} forwarded from the client`;
    throw new GantryError("invalid", message);
  }
  const source = join(await ownFolder(place.engine, undo), "agent");
  const server = forward(place.engine, session, id);
  undo.defer("ssh agent", server.close);
  await server.listen(source);
  await give(source, mount, AGENT_MODE);
  return { mount: { source, target } };
}

function forward(engine: EngineContext, session: BuildSession, id: string) {
  const sockets = new Set<Socket>();
  const stop = new AbortController();
  const { signal } = stop;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    connect(socket).catch((error) => {
      socket.destroy();
      if (!signal.aborted) engine.log.debug("An ssh agent's connection ended", { id, error });
    });
  });
  const connect = async (socket: Socket) => {
    if (sockets.size > CONNECTIONS_MAX) throw new GantryError("unavailable", "too many at once");
    const agent = await session.connectSshAgent(id, { signal });
    agent.on("error", () => {});
    try {
      await Promise.all([pipeline(socket, agent, { signal }), pipeline(agent, socket, { signal })]);
    } finally {
      agent.destroy();
    }
  };
  return {
    listen: (path: string) =>
      new Promise<void>((resolve, reject) => {
        // Accepting may fail later, too, where files run out.
        server.on("error", reject);
        server.listen(path, () => resolve());
      }),
    close: async () => {
      stop.abort();
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function give(
  path: string,
  { uid = 0, gid = 0, mode }: { uid?: number; gid?: number; mode?: number },
  modeDefault: number,
): Promise<void> {
  await chown(path, uid, gid);
  await chmod(path, mode ?? modeDefault);
}

async function ownFolder(engine: EngineContext, undo: Rollback): Promise<string> {
  const path = join(engine.options.execRoot, FOLDER, randomBytes(6).toString("hex"));
  await mkdir(path, { recursive: true, mode: 0o700 });
  undo.defer("secrets", () => rm(path, { recursive: true, force: true }));
  return path;
}

/** Removes what steps of a daemon that was killed left. */
export async function clearGifts(engine: EngineContext): Promise<void> {
  await rm(join(engine.options.execRoot, FOLDER), { recursive: true, force: true });
}
