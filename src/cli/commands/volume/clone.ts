import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "VOLUME NEW_VOLUME",
  short: "Copy a volume",
  args: { min: 2, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [from = "", to = ""] = args;
    const client = await session.client();
    const path = `/gantry/volumes/${segment(from)}/clone`;
    const { Name } = await client.json<{ Name: string }>("POST", path, { query: { to } });
    session.print(Name);
    return 0;
  },
});
export default command;
