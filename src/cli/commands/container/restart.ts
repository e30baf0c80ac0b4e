import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Restart containers",
  spellings: ["container restart", "restart"],
  args: { min: 1 },
  flags: {
    signal: { type: "string", shorthand: "s", usage: "Signal to send" },
    timeout: {
      type: "int",
      shorthand: "t",
      aliases: ["time"],
      usage: "Seconds to wait before the container is killed",
    },
  },
  async run(session, { values, changed, args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        await client.empty("POST", `/containers/${segment(name)}/restart`, {
          query: {
            signal: values.signal || undefined,
            t: changed.has("timeout") ? values.timeout : undefined,
          },
        });
        return name;
      },
      { parallel: true },
    );
  },
});
export default command;
