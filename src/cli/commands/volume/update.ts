import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] VOLUME",
  short: "Change the size limit of a volume, also while it is used",
  args: { min: 1, max: 1 },
  flags: {
    availability: { type: "string", default: "active", usage: "Availability of a cluster volume" },
    opt: { type: "map", shorthand: "o", usage: "Change options of the driver (size=20G)" },
  },
  async run(session, { values, args, changed }) {
    const name = args[0]!;
    const path = `/volumes/${segment(name)}`;
    const client = await session.client();
    if (!changed.has("opt")) {
      // What is not there is to be said first.
      await client.json("GET", path);
      throw new GantryError("invalid", "can only update cluster volumes");
    }
    await client.empty("PUT", path, { json: { DriverOpts: values.opt } });
    session.print(name);
    return 0;
  },
});
export default command;
