import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { copyAll } from "../../copy/copy.ts";
import { splitLocation } from "../../copy/location.ts";

const command: Command = defineCommand({
  usage:
    "[OPTIONS] CONTAINER:SRC_PATH... DEST_PATH|-\n" +
    "\tgantry cp [OPTIONS] SRC_PATH|-... CONTAINER:DEST_PATH\n" +
    "\tgantry cp [OPTIONS] CONTAINER:SRC_PATH... CONTAINER:DEST_PATH",
  short: "Copy files between containers and here; patterns (*, ?, [a-z]) work in containers",
  spellings: ["container cp", "cp"],
  args: { min: 2 },
  flags: {
    archive: { type: "bool", shorthand: "a", usage: "Keep user and group ids" },
    "follow-link": { type: "bool", shorthand: "L", usage: "Follow a symbolic link at the source" },
    quiet: { type: "bool", shorthand: "q", usage: "Show no progress" },
  },
  async run(session, { values, args }) {
    const from = args.slice(0, -1);
    const to = args.at(-1)!;
    if (from.includes("")) throw new GantryError("invalid", "source can not be empty");
    if (to === "") throw new GantryError("invalid", "destination can not be empty");
    const sources = from.map(splitLocation);
    const target = splitLocation(to);
    const here = sources.some(({ container }) => container === undefined);
    if (here && target.container === undefined) {
      throw new GantryError("invalid", "must specify at least one container source");
    }
    if (sources.length > 1 && (from.includes("-") || to === "-")) {
      throw new GantryError("invalid", "a stream (-) goes with one path only");
    }
    return await copyAll(session, sources, target, {
      archive: values.archive,
      followLink: values["follow-link"],
      quiet: values.quiet,
    });
  },
});
export default command;
