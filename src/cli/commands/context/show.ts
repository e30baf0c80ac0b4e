import { type Command, defineCommand } from "../../command.ts";

const command: Command = defineCommand({
  usage: "",
  short: "Print the current context's name",
  args: { min: 0, max: 0 },
  flags: {},
  async run(session) {
    session.print(session.contextName);
    return 0;
  },
});
export default command;
