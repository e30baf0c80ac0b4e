import { type Command, defineCommand } from "../../command.ts";
import { segment } from "../each.ts";
import { importArchive } from "../import-archive.ts";

const command: Command = defineCommand({
  usage: "CACHE_MOUNT file|-",
  short: "Make a cache mount hold what a tar archive holds, compressed or not",
  args: { min: 2, max: 2 },
  flags: {},
  run: (session, { args: [name = "", source = ""] }) =>
    importArchive(session, source, {
      method: "PUT",
      path: `/gantry/cache-mounts/${segment(name)}/archive`,
    }),
});
export default command;
