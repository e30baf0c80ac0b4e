import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { pairsToRecord } from "../../run/environment.ts";
import { checkedList, label } from "../../run/list-flags.ts";
import { clusterFlags, refuseClusterFlags } from "./cluster-flags.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [VOLUME]",
  short: "Create a volume",
  args: { min: 0, max: 1 },
  flags: {
    ...clusterFlags,
    driver: { type: "string", shorthand: "d", default: "local", usage: "Volume driver" },
    label: checkedList(label, "Set labels"),
    name: { type: "string", hidden: true },
    opt: { type: "map", shorthand: "o", usage: "Set options of the driver" },
  },
  async run(session, { values, args, changed }) {
    refuseClusterFlags(changed);
    if (values.name !== "" && args.length > 0) {
      throw new GantryError(
        "invalid",
        "conflicting options: cannot specify a volume name through both --name and as a positional arg",
      );
    }
    const client = await session.client();
    const { Name } = await client.json<{ Name: string }>("POST", "/volumes/create", {
      json: {
        Driver: values.driver,
        DriverOpts: values.opt,
        Labels: pairsToRecord(values.label),
        Name: args[0] ?? values.name,
      },
    });
    session.print(Name);
    return 0;
  },
});
export default command;
