import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Disconnect a container from a network",
  args: { min: 2, max: 2 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Disconnect even if it is stopped" } },
  async run(session, { values, args }) {
    const [network = "", container = ""] = args;
    const client = await session.client();
    await client.empty("POST", `/networks/${segment(network)}/disconnect`, {
      json: { Container: container, Force: values.force },
    });
    return 0;
  },
});
export default command;
