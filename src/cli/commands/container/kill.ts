import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill running containers",
  spellings: ["container kill", "kill"],
  args: { min: 1 },
  flags: { signal: { type: "string", shorthand: "s", usage: "Signal to send" } },
  async run(session, { values, args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        await client.empty("POST", `/containers/${segment(name)}/kill`, {
          query: { signal: values.signal || undefined },
        });
        return name;
      },
      { parallel: true },
    );
  },
});
export default command;
