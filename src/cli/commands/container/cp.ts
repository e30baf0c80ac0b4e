import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { copyFromContainer, copyToContainer, splitLocation } from "../../copy/copy.ts";

const command: Command = defineCommand({
  usage:
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tgantry cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  short: "Copy files between a container and here",
  spellings: ["container cp", "cp"],
  args: { min: 2, max: 2 },
  flags: {
    archive: { type: "bool", shorthand: "a", usage: "Keep user and group ids" },
    "follow-link": { type: "bool", shorthand: "L", usage: "Follow a symbolic link at the source" },
    quiet: { type: "bool", shorthand: "q", usage: "Show no progress" },
  },
  async run(session, { values, args }) {
    const [from = "", to = ""] = args;
    if (from === "") throw new GantryError("invalid", "source can not be empty");
    if (to === "") throw new GantryError("invalid", "destination can not be empty");
    const source = splitLocation(from);
    const target = splitLocation(to);
    const options = {
      archive: values.archive,
      followLink: values["follow-link"],
      quiet: values.quiet,
    };
    if (source.container !== undefined && target.container !== undefined) {
      throw new GantryError("invalid", "copying between containers is not supported");
    }
    if (source.container !== undefined) {
      await copyFromContainer(session, source.container, source.path, target.path, options);
    } else if (target.container !== undefined) {
      await copyToContainer(session, source.path, target.container, target.path, options);
    } else {
      throw new GantryError("invalid", "must specify at least one container source");
    }
    return 0;
  },
});
export default command;
