// ssh agents of --ssh: the socket of the caller's agent, or key files, for which this is the agent.
// A step may ask for the keys and for signatures, as with BuildKit. Adding and removing keys and
// locking the agent is refused here, whoever the agent is: a Dockerfile may be anybody's.

import { open, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GantryError, messageOf } from "../../../../base/index.ts";
import { ssh } from "../../../../gen/buildkit/index.ts";
import { framed } from "../../../../wire/index.ts";
import { callerPath, type Io } from "../../../io.ts";
import type { SshSpec } from "../request/specs.ts";
import type { ServedCall } from "./grpc-server.ts";
import { parseSshKey, type SshKey } from "./ssh-keys.ts";
import { SshReader, sshNumber, sshString } from "./ssh-wire.ts";
import { fileError } from "./walk.ts";

export type Agent = { socket: string } | { keys: readonly SshKey[] };

/** Messages of agents (draft-ietf-sshm-ssh-agent, section 6.1). */
const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

const KEY_FILE_BYTES_MAX = 100 * 1024;
/** OpenSSH's own limit (AGENT_MAX_LEN). */
const MESSAGE_BYTES_MAX = 256 * 1024;

/** Agents by id. */
export async function openAgents(io: Io, specs: readonly SshSpec[]): Promise<Map<string, Agent>> {
  const agents = new Map<string, Agent>();
  for (const { id, paths } of specs) {
    if (agents.has(id)) throw new GantryError("invalid", `duplicate ssh agent ${id}`);
    const given = paths.length > 0 ? paths : [io.env["SSH_AUTH_SOCK"] ?? ""];
    if (given[0] === "") {
      throw new GantryError(
        "invalid",
        "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
      );
    }
    agents.set(id, await openAgent(io, given));
  }
  return agents;
}

async function openAgent(io: Io, paths: readonly string[]): Promise<Agent> {
  const keys: SshKey[] = [];
  let socket: string | undefined;
  for (const path of paths) {
    if (socket !== undefined) throw new GantryError("invalid", "only single socket allowed");
    const place = callerPath(io, path);
    const found = await stat(place).catch((error) => {
      throw fileError("stat", path, error);
    });
    if (found.isSocket()) socket = place;
    else keys.push(await readKey(place, path));
  }
  if (socket === undefined) return { keys };
  if (keys.length > 0) throw new GantryError("invalid", "invalid combination of keys and sockets");
  return { socket };
}

async function readKey(place: string, path: string): Promise<SshKey> {
  const file = await open(place).catch((error) => {
    throw fileError("open", path, error);
  });
  try {
    const bytes = Buffer.alloc(KEY_FILE_BYTES_MAX);
    let length = 0;
    for (let count = -1; count !== 0; length += count) {
      // A pipe, as a shell makes one of a command, gives a part at a time and has no places.
      count = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
    }
    return parseSshKey(bytes.toString("latin1", 0, length));
  } catch (cause) {
    throw new GantryError("invalid", `failed to parse ${path}: ${messageOf(cause)}`, { cause });
  } finally {
    await file.close();
  }
}

export function agentOf(agents: ReadonlyMap<string, Agent>, id: string): Agent {
  const agent = agents.get(id === "" ? "default" : id);
  if (agent === undefined) {
    throw new GantryError("not-found", `unset ssh forward key ${id === "" ? "default" : id}`);
  }
  return agent;
}

/** Answers one connection of a step's, one message after another. */
export async function forwardAgent(call: ServedCall, agent: Agent): Promise<void> {
  const upstream = "socket" in agent ? new Upstream(agent.socket, call.signal) : undefined;
  const keys = "socket" in agent ? [] : agent.keys;
  const ask = (question: Buffer): Promise<Buffer> | Buffer =>
    upstream ? upstream.ask(question) : answerWith(keys, question);
  try {
    for await (const question of frames(dataOf(call))) {
      const allowed = question[0] === REQUEST_IDENTITIES || question[0] === SIGN_REQUEST;
      const answer = allowed ? await ask(question) : Buffer.of(FAILURE);
      const message = create(ssh.BytesMessageSchema, { data: sshString(answer) });
      await call.sendFrames(framed(toBinary(ssh.BytesMessageSchema, message)));
    }
  } finally {
    upstream?.close();
  }
}

/** What an agent with these keys says. */
export function answerWith(keys: readonly SshKey[], question: Buffer): Buffer {
  try {
    if (question[0] === REQUEST_IDENTITIES) {
      const listed = keys.flatMap(({ blob }) => [sshString(blob), sshString("")]);
      return Buffer.concat([Buffer.of(IDENTITIES_ANSWER), sshNumber(keys.length), ...listed]);
    }
    const request = new SshReader(question.subarray(1));
    const [blob, data] = [request.string(), request.string()];
    const key = keys.find((one) => one.blob.equals(blob));
    if (!key) return Buffer.of(FAILURE);
    const signature = key.sign(data, request.atEnd ? 0 : request.number());
    return Buffer.concat([Buffer.of(SIGN_RESPONSE), sshString(signature)]);
  } catch {
    return Buffer.of(FAILURE); // agents say no more than this
  }
}

/** A connection to the caller's agent, made when it is first asked. */
class Upstream {
  readonly #path: string;
  readonly #signal: AbortSignal;
  #socket: Socket | undefined;
  #answers: AsyncGenerator<Buffer, void, void> | undefined;

  constructor(path: string, signal: AbortSignal) {
    this.#path = path;
    this.#signal = signal;
  }

  async ask(question: Buffer): Promise<Buffer> {
    this.#socket ??= connect({ path: this.#path, signal: this.#signal });
    this.#answers ??= frames(this.#socket);
    this.#socket.write(sshString(question));
    const { value } = await this.#answers.next();
    if (!value) throw new GantryError("unavailable", "the ssh agent closed the connection");
    return value;
  }

  close(): void {
    this.#socket?.destroy();
  }
}

async function* dataOf(call: ServedCall): AsyncGenerator<Uint8Array, void, void> {
  for await (const messages of call.messages()) {
    for (const message of messages) yield fromBinary(ssh.BytesMessageSchema, message).data;
  }
}

/** Messages of the agent protocol: each with its length before it. */
async function* frames(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  let held: Buffer[] = [];
  let count = 0;
  let needed = 4;
  for await (const piece of bytes) {
    held.push(Buffer.from(piece));
    count += piece.length;
    while (count >= needed) {
      // Many in one piece: the rest is not copied for each of them.
      const all = held.length === 1 ? held[0]! : Buffer.concat(held);
      const end = 4 + lengthAt(all);
      held = [end <= count ? all.subarray(end) : all];
      needed = end <= count ? 4 : end;
      if (end > count) break;
      count -= end;
      yield all.subarray(4, end);
    }
  }
}

function lengthAt(frame: Buffer): number {
  const length = frame.readUInt32BE();
  if (length > 0 && length <= MESSAGE_BYTES_MAX) return length;
  throw new GantryError("invalid", `ssh agent: a message of ${length} bytes`);
}
