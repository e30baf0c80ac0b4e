import { type Command, defineCommand } from "../../command.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { inspectAll } from "../inspect-all.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Show details of volumes",
  args: { min: 1 },
  flags: { format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE } },
  run: (session, { values, args }) => inspectAll(session, args, values.format, ["volume"]),
});
export default command;
