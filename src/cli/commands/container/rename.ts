import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER NEW_NAME",
  short: "Rename a container",
  spellings: ["container rename", "rename"],
  args: { min: 2, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [from = "", to = ""] = args.map((name) => name.trim());
    if (from === "" || to === "") {
      throw new GantryError("invalid", "Error: Neither old nor new names may be empty");
    }
    const client = await session.client();
    await client.empty("POST", `/containers/${segment(from)}/rename`, { query: { name: to } });
    return 0;
  },
});
export default command;
