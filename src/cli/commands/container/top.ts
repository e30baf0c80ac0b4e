import { type Command, defineCommand } from "../../command.ts";
import { alignTabs } from "../../format/tabwriter.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTAINER [ps OPTIONS]",
  short: "Show a container's processes",
  spellings: ["container top", "top"],
  args: { min: 1 },
  stopAtArgument: true,
  flags: {},
  async run(session, { args }) {
    const [name = "", ...options] = args;
    const client = await session.client();
    const { Titles, Processes } = await client.json<{ Titles: string[]; Processes: string[][] }>(
      "GET",
      `/containers/${segment(name)}/top`,
      { query: { ps_args: options.length > 0 ? options.join(" ") : undefined } },
    );
    const lines = [Titles, ...(Processes ?? [])].map((cells) => cells.join("\t"));
    session.print(alignTabs(lines.join("\n"), { minWidth: 20, padding: 3 }));
    return 0;
  },
});
export default command;
