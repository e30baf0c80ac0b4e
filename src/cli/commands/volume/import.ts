import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";
import { importArchive } from "../import-archive.ts";

const command: Command = defineCommand({
  usage: "VOLUME file|-",
  short: "Make a volume of a tar archive",
  args: { min: 2, max: 2 },
  flags: {},
  run: (session, { args: [name = "", source = ""] }) =>
    importArchive(session, source, {
      method: "POST",
      path: `/gantry/volumes/${segment(name)}/import`,
    }),
});
export default command;
