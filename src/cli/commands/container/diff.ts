import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";

const KINDS = ["C", "A", "D"];

const command: Command = defineCommand({
  usage: "CONTAINER",
  short: "Show what changed in a container's file system",
  spellings: ["container diff", "diff"],
  args: { min: 1, max: 1 },
  flags: {},
  async run(session, { args }) {
    if (args[0] === "") throw new GantryError("invalid", "Container name cannot be empty");
    const client = await session.client();
    const changes = await client.json<{ Path: string; Kind: number }[] | null>(
      "GET",
      `/containers/${segment(args[0]!)}/changes`,
    );
    for (const { Kind, Path } of changes ?? []) session.print(`${KINDS[Kind]} ${Path}`);
    return 0;
  },
});
export default command;
