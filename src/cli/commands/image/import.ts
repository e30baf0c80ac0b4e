import { accessSync, constants } from "node:fs";
import { GantryError } from "../../../base/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { callerPath } from "../../io.ts";
import { fileError, shownSource } from "../../streams/files.ts";
import { showProgress } from "../../streams/progress.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  short: "Make an image of a root file system archive",
  spellings: ["image import", "import"],
  args: { min: 1 },
  flags: {
    change: { type: "list", shorthand: "c", usage: "Apply an instruction of a Dockerfile" },
    message: { type: "string", shorthand: "m", usage: "Comment" },
    platform: { type: "string", usage: "Platform of the image" },
  },
  async run(session, { values, args }) {
    const [source = "", name = ""] = args;
    const remote = /^https?:\/\//.test(source);
    if (!remote && source !== "-") {
      try {
        accessSync(callerPath(session.io, source), constants.R_OK);
      } catch (error) {
        throw fileError(source, error);
      }
    }
    // The name is checked here, so that nothing is uploaded in vain.
    const reference = name === "" ? undefined : parseReference(name, { defaultTag: false });
    if (reference?.digest) throw new GantryError("invalid", "cannot import digest reference");
    const client = await session.client();
    const { body } = await client.call("POST", "/images/create", {
      query: {
        fromSrc: remote ? source : "-",
        repo: name || undefined,
        message: values.message || undefined,
        changes: values.change.length > 0 ? values.change : undefined,
        platform: values.platform || undefined,
      },
      ...(remote
        ? {}
        : { body: shownSource(session.io, source, "Importing"), contentType: "text/plain" }),
      signal: session.io.signal,
    });
    await showProgress(session.io.stdout, body);
    return 0;
  },
});
export default command;
