import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Remove volumes",
  spellings: ["volume rm", "volume remove"],
  args: { min: 1 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Do not mind what is not there" } },
  async run(session, { values, args }) {
    const client = await session.client();
    return forEach(session, args, async (name) => {
      await client.empty("DELETE", `/volumes/${segment(name)}`, {
        query: { force: values.force || undefined },
      });
      return name;
    });
  },
});
export default command;
