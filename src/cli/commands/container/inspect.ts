import { type Command, defineCommand } from "../../command.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { inspectAll } from "../inspect-all.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Show details of containers",
  args: { min: 1 },
  flags: {
    format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE },
    size: { type: "bool", shorthand: "s", usage: "Show sizes of file systems" },
  },
  run: (session, { values, args }) =>
    inspectAll(session, args, values.format, ["container"], { size: values.size }),
});
export default command;
