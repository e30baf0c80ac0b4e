import { messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CACHE_MOUNT [CACHE_MOUNT...]",
  short: "Show cache mounts as JSON",
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const client = await session.client();
    const found: unknown[] = [];
    for (const name of args) {
      try {
        found.push(await client.json("GET", `/gantry/cache-mounts/${segment(name)}`));
      } catch (error) {
        session.warn(messageOf(error));
      }
    }
    session.print(JSON.stringify(found, undefined, 4));
    return found.length === args.length ? 0 : 1;
  },
});
export default command;
