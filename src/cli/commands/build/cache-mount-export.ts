import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { saveStream } from "../../streams/files.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CACHE_MOUNT",
  short: "Write a cache mount as a tar archive",
  args: { min: 1, max: 1 },
  flags: {
    compression: {
      type: "string",
      usage: "none, gzip or zstd; by default what the file's name ends with says",
    },
    output: { type: "string", shorthand: "o", usage: "Write to this file, not to stdout" },
  },
  async run(session, { values, args }) {
    const { output } = values;
    const compression = values.compression || ofName(output);
    if (!["none", "gzip", "zstd"].includes(compression)) {
      const message = `--compression ${compression}: none, gzip or zstd is expected`;
      throw new GantryError("invalid", message);
    }
    await saveStream(session, output, "export", async (client) => {
      const path = `/gantry/cache-mounts/${segment(args[0]!)}/archive`;
      return (await client.call("GET", path, { query: { compression } })).body;
    });
    return 0;
  },
});
export default command;

function ofName(output: string): string {
  if (/\.(zst|zstd)$/.test(output)) return "zstd";
  return /\.(gz|tgz)$/.test(output) ? "gzip" : "none";
}
