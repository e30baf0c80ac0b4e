import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [VOLUME]",
  short: "Update a volume (cluster volumes only)",
  args: { min: 1, max: 1 },
  flags: {
    availability: { type: "string", default: "active", usage: "Availability of a cluster volume" },
  },
  async run(session, { args }) {
    const client = await session.client();
    // What is not there is to be said first.
    await client.json("GET", `/volumes/${segment(args[0]!)}`);
    throw new GantryError("invalid", "can only update cluster volumes");
  },
});
export default command;
