import { defineCommand } from "../../command.ts";
import { ENDING_FLAGS, endingQuery, postEach } from "./post-each.ts";

const command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Stop running containers",
  spellings: ["container stop", "stop"],
  args: { min: 1 },
  flags: ENDING_FLAGS,
  run: (session, flags) => postEach(session, flags.args, "stop", endingQuery(flags)),
});
export default command;
