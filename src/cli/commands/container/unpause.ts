import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  short: "Let paused containers go on",
  spellings: ["container unpause", "unpause"],
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        await client.empty("POST", `/containers/${segment(name)}/unpause`);
        return name;
      },
      { parallel: true },
    );
  },
});
export default command;
