import { type Command, defineCommand } from "../../command.ts";
import { saveStream } from "../../streams/files.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] VOLUME",
  short: "Write a volume as a tar archive",
  args: { min: 1, max: 1 },
  flags: { output: { type: "string", shorthand: "o", usage: "Write to this file, not to stdout" } },
  async run(session, { values, args }) {
    await saveStream(session, values.output, "export", async (client) => {
      return (await client.call("GET", `/gantry/volumes/${segment(args[0]!)}/export`)).body;
    });
    return 0;
  },
});
export default command;
