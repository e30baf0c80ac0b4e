import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [CONTAINER...]",
  short: "Wait until containers stop and print their exit codes",
  spellings: ["container wait", "wait"],
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const client = await session.client();
    return forEach(session, args, async (name) => {
      const answer = await client.json<{ StatusCode: number; Error?: { Message?: string } | null }>(
        "POST",
        `/containers/${segment(name)}/wait`,
        { signal: session.io.signal },
      );
      if (answer.Error?.Message) throw new GantryError("internal", answer.Error.Message);
      return String(answer.StatusCode ?? 0);
    });
  },
});
export default command;
