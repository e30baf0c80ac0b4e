import { type Command, defineCommand } from "../../command.ts";
import { postEach } from "./post-each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  short: "Pause all processes of containers",
  spellings: ["container pause", "pause"],
  args: { min: 1 },
  flags: {},
  run: (session, { args }) => postEach(session, args, "pause"),
});
export default command;
