import { GantryError, messageOf } from "../../../base/index.ts";
import type { Client, Hijacked } from "../../../client/index.ts";
import { readAll } from "../../../client/index.ts";
import { type Command, defineCommand, exitError } from "../../command.ts";
import { createContainer, refusal, requestOf } from "../../run/create-container.ts";
import { RUN_FLAGS } from "../../run/flags.ts";
import type { ContainerRequest } from "../../run/request.ts";
import { PROGRAM, type Session } from "../../session.ts";
import {
  detachKeysOf,
  followSize,
  proxySignals,
  TTY_NEEDED,
} from "../../streams/attach-session.ts";
import { joinStreams } from "../../streams/hijack.ts";

const EXIT_DAEMON = 125;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;

const command: Command<typeof RUN_FLAGS> = defineCommand({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a container from an image and run it",
  spellings: ["container run", "run"],
  args: { min: 1 },
  stopAtArgument: true,
  flags: RUN_FLAGS,
  async run(session, flags) {
    const { values } = flags;
    let request: ContainerRequest;
    let id: string;
    try {
      request = requestOf(session, flags);
      if (values.detach) {
        if (values.attach.length > 0) {
          throw new GantryError(
            "invalid",
            "conflicting options: cannot specify both --attach and --detach",
          );
        }
        const { config } = request;
        config.AttachStdin = config.AttachStdout = config.AttachStderr = false;
        config.StdinOnce = false;
      } else if (values.tty && request.config.AttachStdin && !session.io.stdin.isTerminal) {
        throw exitError(1, TTY_NEEDED);
      }
      const size = session.io.stdout.isTerminal ? session.io.windowSize() : undefined;
      request.hostConfig.ConsoleSize = size ? [size.rows, size.columns] : [0, 0];
      detachKeysOf(session, values["detach-keys"]);
      id = await createContainer(session, flags, request);
    } catch (error) {
      throw refusal(error);
    }
    const client = await session.client();
    const options = { detachKeys: values["detach-keys"], sigProxy: values["sig-proxy"] };
    if (values.detach) return runDetached(session, client, id);
    return runAttached(session, client, id, request, options);
  },
});
export default command;

async function runDetached(session: Session, client: Client, id: string): Promise<number> {
  try {
    await client.empty("POST", `/containers/${id}/start`);
  } catch (error) {
    // docker prints the id first: the container exists, whatever became of its start.
    session.print(id);
    throw startRefusal(error);
  }
  session.print(id);
  return 0;
}

async function runAttached(
  session: Session,
  client: Client,
  id: string,
  { config, hostConfig }: ContainerRequest,
  options: { detachKeys: string; sigProxy: boolean },
): Promise<number> {
  const { text, keys } = detachKeysOf(session, options.detachKeys);
  const stopSignals = options.sigProxy ? proxySignals(session, client, id) : () => {};
  let stopSize = () => {};
  try {
    const attached = config.AttachStdin || config.AttachStdout || config.AttachStderr;
    // Both before the start: no output and no exit may be missed.
    const [hijacked, exit] = await Promise.all([
      attached ? attach(client, id, config, text) : undefined,
      waitFor(client, id, hostConfig.AutoRemove ? "removed" : "next-exit"),
    ]);
    const joined = hijacked
      ? joinStreams(session.io, hijacked, {
          tty: config.Tty === true,
          stdin: config.AttachStdin === true,
          stdout: config.AttachStdout === true,
          stderr: config.AttachStderr === true,
          detachKeys: keys,
        })
      : undefined;
    joined?.catch(() => {});
    try {
      await client.empty("POST", `/containers/${id}/start`);
    } catch (error) {
      hijacked?.stream.destroy();
      await joined?.catch(() => {});
      if (hostConfig.AutoRemove) await exit.done.catch(() => {});
      throw startRefusal(error);
    }
    if (config.Tty && session.io.stdout.isTerminal) {
      stopSize = followSize(session, client, `/containers/${id}`);
    }
    if (!joined) session.print(id);
    if ((await joined) === "detached") return 0;
    const { code, reason } = await exit.done;
    // The exit code alone (137) would say too little.
    if (reason) session.warn(`${PROGRAM}: container ${id.slice(0, 12)} ended: ${reason}`);
    return code;
  } finally {
    stopSignals();
    stopSize();
  }
}

function attach(
  client: Client,
  id: string,
  config: ContainerRequest["config"],
  detachKeys: string,
): Promise<Hijacked> {
  return client.hijack(`/containers/${id}/attach`, {
    query: {
      stream: true,
      stdin: config.AttachStdin || undefined,
      stdout: config.AttachStdout || undefined,
      stderr: config.AttachStderr || undefined,
      detachKeys: detachKeys || undefined,
    },
  });
}

/** Starts waiting; resolves, once the daemon has begun to, with the promise of the exit code. */
async function waitFor(
  client: Client,
  id: string,
  condition: string,
): Promise<{ done: Promise<{ code: number; reason?: string | undefined }> }> {
  const { body } = await client.call("POST", `/containers/${id}/wait`, { query: { condition } });
  const done = readAll(body).then((text) => {
    const {
      StatusCode: code,
      Error: failure,
      Reason: reason,
    } = JSON.parse(text) as {
      StatusCode: number;
      Reason?: string;
      Error?: { Message?: string } | null;
    };
    if (!failure?.Message) return { code, reason };
    throw exitError(EXIT_DAEMON, `Error waiting for container: ${failure.Message}`);
  });
  done.catch(() => {});
  return { done };
}

/** The exit code says why the container's command could not be started. */
function startRefusal(error: unknown): GantryError {
  const message = messageOf(error);
  let code = EXIT_DAEMON;
  if (
    /executable file not found|no such file or directory|system cannot find the file specified/.test(
      message,
    )
  ) {
    code = EXIT_NOT_FOUND;
  } else if (/permission denied|is a directory|exec format error/.test(message)) {
    code = EXIT_NOT_EXECUTABLE;
  }
  return exitError(code, message, { cause: error, help: true });
}
