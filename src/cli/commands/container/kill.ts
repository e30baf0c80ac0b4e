import { type Command, defineCommand } from "../../command.ts";
import { postEach } from "./post-each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill running containers",
  spellings: ["container kill", "kill"],
  args: { min: 1 },
  flags: { signal: { type: "string", shorthand: "s", usage: "Signal to send" } },
  run: (session, { values, args }) =>
    postEach(session, args, "kill", { signal: values.signal || undefined }),
});
export default command;
