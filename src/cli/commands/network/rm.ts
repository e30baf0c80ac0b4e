import { kindOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "NETWORK [NETWORK...]",
  short: "Remove networks",
  spellings: ["network rm", "network remove"],
  args: { min: 1 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Do not mind what is not there" } },
  async run(session, { values, args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        await client.empty("DELETE", `/networks/${segment(name)}`);
        return name;
      },
      { tolerate: (error) => values.force && kindOf(error) === "not-found" },
    );
  },
});
export default command;
