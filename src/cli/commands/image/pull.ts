import { formatReference, parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { pullImage } from "../../streams/pull.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  short: "Download an image from a registry",
  spellings: ["image pull", "pull"],
  args: { min: 1, max: 1 },
  flags: {
    "all-tags": { type: "bool", shorthand: "a", usage: "Download every tag of the repository" },
    platform: { type: "string", usage: "Platform, where the image has several" },
    quiet: { type: "bool", shorthand: "q", usage: "Show no progress" },
    "disable-content-trust": { type: "bool", default: true, hidden: true },
  },
  async run(session, { values, args }) {
    const name = args[0]!;
    const reference = parseReference(name, { defaultTag: !values["all-tags"] });
    if (
      !values.quiet &&
      !/[:@]/.test(name.slice(name.lastIndexOf("/") + 1)) &&
      !values["all-tags"]
    ) {
      session.print("Using default tag: latest");
    }
    await pullImage(session, name, {
      platform: values.platform,
      quiet: values.quiet,
      out: session.io.stdout,
      all: values["all-tags"],
    });
    session.print(formatReference(reference));
    return 0;
  },
});
export default command;
