import { type Command, defineCommand } from "../../command.ts";
import { postEach } from "./post-each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  short: "Let paused containers go on",
  spellings: ["container unpause", "unpause"],
  args: { min: 1 },
  flags: {},
  run: (session, { args }) => postEach(session, args, "unpause"),
});
export default command;
