import { type Command, defineCommand } from "../../command.ts";
import { VERSION } from "../../session.ts";
import { BUILDER_NAME_FLAGS } from "./checked-builder.ts";

const command: Command = defineCommand({
  usage: "",
  short: "Show the version of the builder's commands",
  args: { min: 0, max: 0 },
  flags: { debug: BUILDER_NAME_FLAGS.debug },
  run(session) {
    session.print(`gantry buildx ${VERSION}`);
    return Promise.resolve(0);
  },
});
export default command;
