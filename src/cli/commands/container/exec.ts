import { type Command, defineCommand, exitError } from "../../command.ts";
import { callerPath } from "../../io.ts";
import { readEnvironment } from "../../run/environment.ts";
import { checkedList, environment } from "../../run/list-flags.ts";
import { detachKeysOf, followSize, TTY_NEEDED } from "../../streams/attach-session.ts";
import { joinStreams } from "../../streams/hijack.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  short: "Run a command in a running container",
  spellings: ["container exec", "exec"],
  args: { min: 2 },
  stopAtArgument: true,
  flags: {
    detach: { type: "bool", shorthand: "d", usage: "Run in the background" },
    "detach-keys": { type: "string", usage: "Keys that detach from the command" },
    env: checkedList(environment, "Set environment variables", { shorthand: "e" }),
    "env-file": { type: "list", usage: "Read environment variables from a file" },
    interactive: { type: "bool", shorthand: "i", usage: "Keep stdin open even if not attached" },
    privileged: { type: "bool", usage: "Give extended privileges" },
    tty: { type: "bool", shorthand: "t", usage: "Allocate a terminal" },
    user: { type: "string", shorthand: "u", usage: "User to run as (<name|uid>[:<group|gid>])" },
    workdir: { type: "string", shorthand: "w", usage: "Working folder inside the container" },
  },
  async run(session, { values, args }) {
    const { io } = session;
    const [name = "", ...Cmd] = args;
    const { text: DetachKeys, keys } = detachKeysOf(session, values["detach-keys"]);
    const stdin = values.interactive && !values.detach;
    if (values.tty && stdin && !io.stdin.isTerminal) throw exitError(1, TTY_NEEDED);
    const files = values["env-file"].map((file) => callerPath(io, file));
    const Env = readEnvironment(files, values.env, io.env);
    const client = await session.client();
    const { Id } = await client.json<{ Id: string }>("POST", `/containers/${segment(name)}/exec`, {
      json: {
        User: values.user,
        Privileged: values.privileged,
        Tty: values.tty,
        AttachStdin: stdin,
        AttachStderr: !values.detach,
        AttachStdout: !values.detach,
        DetachKeys,
        Env: Env.length > 0 ? Env : null,
        WorkingDir: values.workdir,
        Cmd,
      },
    });
    if (!Id) throw exitError(1, "exec ID empty");
    const size = values.tty && io.stdout.isTerminal ? io.windowSize() : undefined;
    const start = {
      Detach: values.detach,
      Tty: values.tty,
      ...(size ? { ConsoleSize: [size.rows, size.columns] } : {}),
    };
    if (values.detach) {
      await client.empty("POST", `/exec/${Id}/start`, { json: start });
      return 0;
    }
    const hijacked = await client.hijack(`/exec/${Id}/start`, { json: start });
    const stopSize =
      values.tty && io.stdout.isTerminal ? followSize(session, client, `/exec/${Id}`) : () => {};
    try {
      const end = await joinStreams(io, hijacked, {
        tty: values.tty,
        stdin,
        stdout: true,
        stderr: true,
        detachKeys: keys,
      });
      if (end === "detached") throw exitError(1, "exec: read escape sequence");
    } finally {
      stopSize();
    }
    const { ExitCode } = await client.json<{ ExitCode: number | null }>("GET", `/exec/${Id}/json`);
    return ExitCode ?? 0;
  },
});
export default command;
