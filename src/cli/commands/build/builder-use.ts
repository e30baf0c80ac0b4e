import { type Command, defineCommand } from "../../command.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NAME",
  short: "Choose the builder: the daemon is the only one",
  args: { min: 1, max: 1 },
  flags: {
    ...BUILDER_FLAGS,
    default: { type: "bool", usage: "For the current context: it is so in any case" },
    global: { type: "bool", usage: "For every context: it is so in any case" },
  },
  run(_session, { values, args }) {
    checkBuilder(values.builder);
    checkBuilder(args[0]!);
    return Promise.resolve(0);
  },
});
export default command;
