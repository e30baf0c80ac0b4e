import { writeFileSync } from "node:fs";
import { errnoOf, GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { callerPath, writeAll } from "../../io.ts";
import { stored } from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTEXT [FILE|-]",
  short: "Write a context to an archive",
  args: { min: 1, max: 2 },
  flags: {},
  async run(session, { args }) {
    const { io } = session;
    const [name = "", file = `${name}.dockercontext`] = args;
    const { meta, tls } = stored(session, name);
    const { pack } = await import("tar-stream");
    const archive = pack();
    archive.entry({ name: "meta.json", mode: 0o644 }, JSON.stringify(meta));
    archive.entry({ name: "tls", mode: 0o700, type: "directory" });
    if (Object.keys(tls).length > 0) {
      archive.entry({ name: "tls/docker", mode: 0o700, type: "directory" });
    }
    for (const [key, content] of Object.entries(tls)) {
      archive.entry({ name: `tls/docker/${key}`, mode: 0o600 }, content);
    }
    archive.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of archive as unknown as AsyncIterable<Buffer>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (file === "-") {
      if (io.stdout.isTerminal) {
        throw new GantryError(
          "invalid",
          "cowardly refusing to export to a terminal, specify a file path",
        );
      }
      await writeAll(io.stdout, bytes);
      return 0;
    }
    try {
      writeFileSync(callerPath(io, file), bytes, { flag: "wx", mode: 0o600 });
    } catch (cause) {
      if (errnoOf(cause) !== "EEXIST") throw cause;
      throw new GantryError("conflict", `open ${file}: file exists`, { cause });
    }
    session.warn(`Written file ${JSON.stringify(file)}`);
    return 0;
  },
});
export default command;
