// ssh agents of --ssh: each connection of a step is one to the agent's socket. Key files would need
// an agent of our own; they are refused with the remedy.

import { stat } from "node:fs/promises";
import { connect } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GantryError } from "../../../../base/index.ts";
import { ssh } from "../../../../gen/buildkit/index.ts";
import { framed } from "../../../../wire/index.ts";
import { callerPath, type Io } from "../../../io.ts";
import type { SshSpec } from "../request/specs.ts";
import type { ServedCall } from "./grpc-server.ts";
import { fileError } from "./walk.ts";

/** Sockets by id. */
export async function openAgents(io: Io, specs: readonly SshSpec[]): Promise<Map<string, string>> {
  const agents = new Map<string, string>();
  for (const { id, paths } of specs) {
    if (agents.has(id)) throw new GantryError("invalid", `duplicate ssh agent ${id}`);
    const given = paths.length > 0 ? paths : [io.env["SSH_AUTH_SOCK"] ?? ""];
    if (given[0] === "") {
      throw new GantryError(
        "invalid",
        "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
      );
    }
    for (const path of given) {
      const found = await stat(callerPath(io, path)).catch((error) => {
        throw fileError("stat", path, error);
      });
      if (!found.isSocket()) {
        throw new GantryError(
          "not-implemented",
          `--ssh ${id}=${path}: key files are not supported: load the key into an agent ` +
            `(eval $(ssh-agent); ssh-add ${path}) and use --ssh ${id}`,
        );
      }
      if (given.length > 1) {
        throw new GantryError("invalid", "only single socket allowed");
      }
      agents.set(id, callerPath(io, path));
    }
  }
  return agents;
}

export function agentOf(agents: ReadonlyMap<string, string>, id: string): string {
  const path = agents.get(id === "" ? "default" : id);
  if (path === undefined) {
    throw new GantryError("not-found", `unset ssh forward key ${id === "" ? "default" : id}`);
  }
  return path;
}

/** Joins a call of SSH.ForwardAgent to the agent. */
export async function forwardAgent(call: ServedCall, path: string): Promise<void> {
  const socket = connect({ path });
  const stop = () => socket.destroy();
  call.signal.addEventListener("abort", stop, { once: true });
  const answers = (async () => {
    for await (const data of socket as AsyncIterable<Buffer>) {
      const message = create(ssh.BytesMessageSchema, { data });
      await call.sendFrames(framed(toBinary(ssh.BytesMessageSchema, message)));
    }
  })();
  const questions = (async () => {
    for await (const messages of call.messages()) {
      for (const message of messages) {
        socket.write(fromBinary(ssh.BytesMessageSchema, message).data);
      }
    }
    socket.end();
  })();
  try {
    await Promise.all([answers, questions]);
  } finally {
    call.signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}
