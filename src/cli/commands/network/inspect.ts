import { type Command, defineCommand } from "../../command.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { inspectAll } from "../inspect-all.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  short: "Show details of networks",
  args: { min: 1 },
  flags: {
    format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE },
    verbose: { type: "bool", shorthand: "v", usage: "Show more for diagnosis" },
  },
  run: (session, { values, args }) =>
    inspectAll(session, args, values.format, ["network"], { verbose: values.verbose }),
});
export default command;
