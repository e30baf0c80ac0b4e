import { GantryError } from "../../../base/index.ts";
import { readAll } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { detachKeysOf, followSize, proxySignals } from "../../streams/attach-session.ts";
import { joinStreams } from "../../streams/hijack.ts";
import { segment } from "../each.ts";

interface Inspected {
  Id: string;
  State: { Running: boolean; Paused: boolean; Restarting: boolean };
  Config: { Tty: boolean; OpenStdin: boolean };
}

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER",
  short: "Attach to a running container's streams",
  spellings: ["container attach", "attach"],
  args: { min: 1, max: 1 },
  flags: {
    "detach-keys": { type: "string", usage: "Keys that detach from the container" },
    "no-stdin": { type: "bool", usage: "Leave stdin alone" },
    "sig-proxy": { type: "bool", default: true, usage: "Pass signals on to the process" },
  },
  async run(session, { values, args }) {
    const { io } = session;
    const client = await session.client();
    const path = `/containers/${segment(args[0]!)}`;
    const { Id, State, Config } = await client.json<Inspected>("GET", `${path}/json`);
    if (!State.Running) {
      throw new GantryError("conflict", "You cannot attach to a stopped container, start it first");
    }
    if (State.Paused) {
      throw new GantryError(
        "conflict",
        "You cannot attach to a paused container, unpause it first",
      );
    }
    if (State.Restarting) {
      throw new GantryError(
        "conflict",
        "You cannot attach to a restarting container, wait until it is running",
      );
    }
    const { text, keys } = detachKeysOf(session, values["detach-keys"]);
    const stdin = !values["no-stdin"] && Config.OpenStdin;
    if (Config.Tty && stdin && !io.stdin.isTerminal) {
      throw new GantryError("invalid", "the input device is not a TTY");
    }
    const { body } = await client.call("POST", `/containers/${Id}/wait`);
    const exit = readAll(body);
    exit.catch(() => {});
    const hijacked = await client.hijack(`/containers/${Id}/attach`, {
      query: {
        stream: true,
        stdin: stdin || undefined,
        stdout: true,
        stderr: true,
        detachKeys: text || undefined,
      },
    });
    const stopSignals =
      values["sig-proxy"] && !Config.Tty ? proxySignals(session, client, Id) : () => {};
    const stopSize =
      Config.Tty && io.stdout.isTerminal
        ? followSize(session, client, `/containers/${Id}`)
        : () => {};
    try {
      const end = await joinStreams(io, hijacked, {
        tty: Config.Tty,
        stdin,
        stdout: true,
        stderr: true,
        detachKeys: keys,
      });
      if (end === "detached") {
        session.warn("read escape sequence");
        return 0;
      }
      return (JSON.parse(await exit) as { StatusCode: number }).StatusCode;
    } finally {
      stopSignals();
      stopSize();
    }
  },
});
export default command;
