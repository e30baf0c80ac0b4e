import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { parseTime } from "../../flags/times.ts";
import { copyLogs } from "../../streams/hijack.ts";
import { segment } from "../each.ts";
import { type Inspected, shippingStatus } from "../log-status.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER",
  short: "Show a container's logs",
  spellings: ["container logs", "logs"],
  args: { min: 1, max: 1 },
  flags: {
    details: { type: "bool", usage: "Show what the log driver was told to add" },
    grep: { type: "string", usage: "Only lines in which this regular expression is found" },
    follow: { type: "bool", shorthand: "f", usage: "Go on as the container writes" },
    since: { type: "string", usage: 'From this time on ("2013-01-02T13:23:37Z" or "42m")' },
    tail: {
      type: "string",
      shorthand: "n",
      default: "all",
      usage: "Lines to show from the end",
    },
    status: { type: "bool", usage: "Show how far a remote log driver has come instead" },
    timestamps: { type: "bool", shorthand: "t", usage: "Show times" },
    until: { type: "string", usage: 'Up to this time ("2013-01-02T13:23:37Z" or "42m")' },
  },
  async run(session, { values, args, changed }) {
    if (values.status) {
      const other = [...changed].find((name) => name !== "status");
      if (other) throw new GantryError("invalid", `--status shows no log: leave out --${other}`);
    }
    const client = await session.client();
    const path = `/containers/${segment(args[0]!)}`;
    const inspected = await client.json<Inspected>("GET", `${path}/json`);
    if (values.status) {
      session.print(shippingStatus(inspected));
      return 0;
    }
    const { body, headers } = await client.call("GET", `${path}/logs`, {
      query: {
        stdout: true,
        stderr: true,
        details: values.details || undefined,
        follow: values.follow || undefined,
        grep: values.grep || undefined,
        since: values.since === "" ? undefined : parseTime(values.since),
        tail: values.tail,
        timestamps: values.timestamps || undefined,
        until: values.until === "" ? undefined : parseTime(values.until),
      },
      signal: session.io.signal,
    });
    await copyLogs(session.io, body, inspected.Config.Tty);
    const dropped = headers["x-gantry-log-dropped"];
    if (dropped) session.warn(droppedNote(String(dropped)));
    return 0;
  },
});
/** On standard error, where no line of the container is expected. */
const droppedNote = (count: string): string =>
  `WARNING: ${count} log entries are missing: there was no room for them when they were written`;

export default command;
