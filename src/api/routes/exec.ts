// Handlers of exec. A command that cannot be run answers as dockerd does: the connection is taken
// over first and the reason is written into it, so that clients print it and ask for the exit code.

import { Duplex } from "node:stream";
import { GantryError, kindOf } from "../../base/index.ts";
import type { AttachStream, EngineDoors } from "../../engine/index.ts";
import { encodeFrame } from "../../protocol/index.ts";
import type { SomeHandlers } from "../call.ts";
import { messageWithAdvice } from "../errors.ts";
import { empty, json } from "../reply.ts";
import { streamType } from "./container-streams.ts";

const STDOUT = 1;

export const execHandlers = ({ containers }: EngineDoors) =>
  ({
    containerExec: async ({ params, body, version }) => {
      if (!body?.Cmd?.length) throw new GantryError("invalid", "No exec command specified");
      if (version.below("1.42")) delete body.ConsoleSize;
      const { id } = await containers.execCreate(params.id!, { ...body, Cmd: body.Cmd });
      return json({ Id: id }, 201);
    },

    execStart: async ({ params, body = {}, version, signal }) => {
      const { Detach: detach = false, Tty: tty = false, ConsoleSize: size } = body;
      const consoleSize = tty && version.atLeast("1.42") ? size : undefined;
      const options = { detach, tty, signal, ...(consoleSize ? { consoleSize } : {}) };
      const attached = await containers
        .execStart(params.id!, options)
        .catch((error) => failureAsStream(error, options));
      if (attached === undefined) return empty(200);
      const contentType = streamType(attached.tty, version);
      return { kind: "hijack", stream: attached.stream, stdin: true, contentType };
    },

    execResize: async ({ params, query }) => {
      await containers.execResize(params.id!, query.h, query.w);
      return empty(200);
    },

    execInspect: async ({ params }) => json(await containers.execInspect(params.id!)),
  }) satisfies SomeHandlers;

/** A failure to run the command becomes output; one to find the exec or its container does not. */
function failureAsStream(
  error: unknown,
  { detach, tty }: { detach: boolean; tty: boolean },
): AttachStream {
  const kind = kindOf(error);
  if (detach || kind === "not-found" || kind === "conflict" || kind === "cancelled") throw error;
  const text = Buffer.from(`${messageWithAdvice(error).replaceAll("\n", "\r\n")}\r\n`);
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  stream.push(tty ? text : encodeFrame(STDOUT, text));
  stream.push(null);
  return { tty, stream };
}
