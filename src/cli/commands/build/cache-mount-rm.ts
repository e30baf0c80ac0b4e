import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CACHE_MOUNT [CACHE_MOUNT...]",
  short: "Remove cache mounts with what they hold",
  spellings: ["builder cache-mount rm", "builder cache-mount remove"],
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const client = await session.client();
    return await forEach(session, args, async (name) => {
      const path = `/gantry/cache-mounts/${segment(name)}`;
      const { SpaceReclaimed } = await client.json<{ SpaceReclaimed: number }>("DELETE", path);
      return `${name}\t${humanSize(SpaceReclaimed)}`;
    });
  },
});
export default command;
