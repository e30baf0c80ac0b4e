import { type Command, defineCommand } from "../../command.ts";
import { BUILDER_NAME_FLAGS, checkBuilder } from "./checked-builder.ts";

const command: Command = defineCommand({
  usage: "[NAME]",
  short: "Stop the builder: the daemon goes on, as with docker's driver of that name",
  args: { min: 0, max: 1 },
  flags: BUILDER_NAME_FLAGS,
  run(_session, { values, args }) {
    checkBuilder(args[0] ?? values.builder);
    return Promise.resolve(0);
  },
});
export default command;
