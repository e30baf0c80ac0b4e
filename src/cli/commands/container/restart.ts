import { defineCommand } from "../../command.ts";
import { ENDING_FLAGS, endingQuery, postEach } from "./post-each.ts";

const command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Restart containers",
  spellings: ["container restart", "restart"],
  args: { min: 1 },
  flags: ENDING_FLAGS,
  run: (session, flags) => postEach(session, flags.args, "restart", endingQuery(flags)),
});
export default command;
