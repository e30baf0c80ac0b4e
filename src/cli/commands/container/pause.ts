import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  short: "Pause all processes of containers",
  spellings: ["container pause", "pause"],
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        await client.empty("POST", `/containers/${segment(name)}/pause`);
        return name;
      },
      { parallel: true },
    );
  },
});
export default command;
