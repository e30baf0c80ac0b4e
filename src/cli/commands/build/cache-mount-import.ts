import { accessSync, constants } from "node:fs";
import { type Command, defineCommand } from "../../command.ts";
import { callerPath } from "../../io.ts";
import { fileError, readSource } from "../../streams/files.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "CACHE_MOUNT file|-",
  short: "Make a cache mount hold what a tar archive holds, compressed or not",
  args: { min: 2, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [name = "", source = ""] = args;
    if (source !== "-") {
      try {
        accessSync(callerPath(session.io, source), constants.R_OK);
      } catch (error) {
        throw fileError(source, error);
      }
    }
    const client = await session.client();
    const path = `/gantry/cache-mounts/${segment(name)}/archive`;
    const { Name } = await client.json<{ Name: string }>("PUT", path, {
      body: readSource(session.io, source),
      contentType: "application/x-tar",
      signal: session.io.signal,
    });
    session.print(Name);
    return 0;
  },
});
export default command;
