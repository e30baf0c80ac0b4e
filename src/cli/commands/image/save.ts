import { type Command, defineCommand } from "../../command.ts";
import { saveStream } from "../../streams/files.ts";
import { platformJson } from "./load.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Write images to an archive",
  spellings: ["image save", "save"],
  args: { min: 1 },
  flags: {
    output: { type: "string", shorthand: "o", usage: "Write to this file, not to stdout" },
    platform: { type: "stringSlice", usage: "Save only these platforms" },
  },
  async run(session, { values, args }) {
    await saveStream(session, values.output, "save", async (client) => {
      const { body } = await client.call("GET", "/images/get", {
        query: {
          names: args,
          platform: values.platform.length > 0 ? values.platform.map(platformJson) : undefined,
        },
        signal: session.io.signal,
      });
      return body;
    });
    return 0;
  },
});
export default command;
