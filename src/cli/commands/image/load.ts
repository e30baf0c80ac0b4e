import { accessSync, constants } from "node:fs";
import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { callerPath } from "../../io.ts";
import { fileError, readSource, shownSource } from "../../streams/files.ts";
import { showProgress } from "../../streams/progress.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Load images from an archive",
  spellings: ["image load", "load"],
  args: { min: 0, max: 0 },
  flags: {
    input: { type: "string", shorthand: "i", usage: "Read this file, not stdin" },
    platform: { type: "stringSlice", usage: "Load only these platforms" },
    quiet: { type: "bool", shorthand: "q", usage: "Show no progress" },
  },
  async run(session, { values }) {
    const { io } = session;
    if (values.input !== "") {
      try {
        accessSync(callerPath(io, values.input), constants.R_OK);
      } catch (error) {
        throw fileError(values.input, error);
      }
    } else if (io.stdin.isTerminal) {
      throw new GantryError("invalid", "requested load from stdin, but stdin is empty");
    }
    const client = await session.client();
    const { body, headers } = await client.call("POST", "/images/load", {
      query: {
        quiet: values.quiet || !io.stdout.isTerminal ? 1 : 0,
        platform: values.platform.length > 0 ? values.platform.map(platformJson) : undefined,
      },
      body: (values.quiet ? readSource : shownSource)(io, values.input, "Loading"),
      contentType: "application/x-tar",
      signal: io.signal,
    });
    if (headers["content-type"]?.includes("json")) await showProgress(io.stdout, body);
    else for await (const chunk of body) io.stdout.write(chunk);
    return 0;
  },
});
export default command;

/** "linux/arm64/v8" as the API's JSON. */
export function platformJson(text: string): string {
  const [os, architecture, variant] = text.split("/");
  return JSON.stringify({ os, architecture, ...(variant ? { variant } : {}) });
}
