import { GantryError, messageOf } from "../../../base/index.ts";
import { readAll } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import type { Session } from "../../session.ts";
import { detachKeysOf, followSize, proxySignals } from "../../streams/attach-session.ts";
import { joinStreams } from "../../streams/hijack.ts";
import { segment } from "../each.ts";

interface Inspected {
  Id: string;
  Config: { Tty: boolean; OpenStdin: boolean };
  HostConfig: { AutoRemove: boolean };
}

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Start stopped containers",
  spellings: ["container start", "start"],
  args: { min: 1 },
  flags: {
    attach: { type: "bool", shorthand: "a", usage: "Attach to its output and pass signals on" },
    checkpoint: { type: "string", usage: "Bring back what this checkpoint holds" },
    "checkpoint-dir": { type: "string", usage: "Folder of checkpoints" },
    "detach-keys": { type: "string", usage: "Keys that detach from the container" },
    interactive: { type: "bool", shorthand: "i", usage: "Attach to its stdin" },
  },
  async run(session, { values, args }) {
    const query = {
      checkpoint: values.checkpoint || undefined,
      "checkpoint-dir": values["checkpoint-dir"] || undefined,
    };
    if (values.attach || values.interactive) {
      if (args.length > 1) {
        throw new GantryError("invalid", "you cannot start and attach multiple containers at once");
      }
      return startAttached(session, args[0]!, values.interactive, values["detach-keys"], query);
    }
    if (query.checkpoint && args.length > 1) {
      throw new GantryError("invalid", "you cannot restore multiple containers at once");
    }
    const client = await session.client();
    const failed: string[] = [];
    for (const name of args) {
      try {
        await client.empty("POST", `/containers/${segment(name)}/start`, { query });
        session.print(name);
      } catch (error) {
        session.warn(messageOf(error));
        failed.push(name);
      }
    }
    if (failed.length === 0) return 0;
    throw new GantryError("internal", `Error: failed to start containers: ${failed.join(", ")}`);
  },
});
export default command;

async function startAttached(
  session: Session,
  name: string,
  interactive: boolean,
  keysFlag: string,
  query: Record<string, string | undefined>,
): Promise<number> {
  const { io } = session;
  const client = await session.client();
  const inspected = await client.json<Inspected>("GET", `/containers/${segment(name)}/json`);
  const { Id, Config, HostConfig } = inspected;
  const { text, keys } = detachKeysOf(session, keysFlag);
  const stdin = interactive && Config.OpenStdin;
  if (Config.Tty && stdin && !io.stdin.isTerminal) {
    throw new GantryError("invalid", "the input device is not a TTY");
  }
  const hijacked = await client.hijack(`/containers/${Id}/attach`, {
    query: {
      stream: true,
      stdin: stdin || undefined,
      stdout: true,
      stderr: true,
      detachKeys: text || undefined,
    },
  });
  const condition = HostConfig.AutoRemove ? "removed" : "next-exit";
  const { body } = await client.call("POST", `/containers/${Id}/wait`, { query: { condition } });
  const exit = readAll(body);
  exit.catch(() => {});
  const stopSignals = Config.Tty ? () => {} : proxySignals(session, client, Id);
  let stopSize = () => {};
  try {
    const joined = joinStreams(io, hijacked, {
      tty: Config.Tty,
      stdin,
      stdout: true,
      stderr: true,
      detachKeys: keys,
    });
    joined.catch(() => {});
    try {
      await client.empty("POST", `/containers/${Id}/start`, { query });
    } catch (error) {
      hijacked.stream.destroy();
      await joined.catch(() => {});
      throw error;
    }
    if (Config.Tty && io.stdout.isTerminal) {
      stopSize = followSize(session, client, `/containers/${Id}`);
    }
    if ((await joined) === "detached") return 0;
    return (JSON.parse(await exit) as { StatusCode: number }).StatusCode;
  } finally {
    stopSignals();
    stopSize();
  }
}
