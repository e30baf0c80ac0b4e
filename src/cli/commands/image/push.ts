import { GantryError } from "../../../base/index.ts";
import { familiarName, formatReference, parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { registryAuthHeader } from "../../config/credentials.ts";
import { showProgress } from "../../streams/progress.ts";
import { imagePath } from "../image-path.ts";
import { platformJson } from "./load.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NAME[:TAG]",
  short: "Upload an image to a registry",
  spellings: ["image push", "push"],
  args: { min: 1, max: 1 },
  flags: {
    "all-tags": { type: "bool", shorthand: "a", usage: "Push every tag of the repository" },
    "all-platforms": {
      type: "bool",
      usage: "Push the whole index that the image came by (all its images must be here)",
    },
    platform: { type: "string", usage: "Push only this platform" },
    quiet: { type: "bool", shorthand: "q", usage: "Show no progress" },
    "disable-content-trust": { type: "bool", default: true, hidden: true },
  },
  async run(session, { values, args }) {
    const name = args[0]!;
    const all = values["all-tags"];
    const given = parseReference(name, { defaultTag: false });
    if (values["all-platforms"] && values.platform) {
      throw new GantryError("invalid", "--all-platforms and --platform exclude each other");
    }
    if (all && given.tag !== undefined) {
      throw new GantryError("invalid", "tag can't be used with --all-tags/-a");
    }
    if (given.digest !== undefined) {
      throw new GantryError("invalid", "cannot push a digest reference");
    }
    const reference = all ? given : parseReference(name);
    if (!all && given.tag === undefined && !values.quiet) {
      session.print("Using default tag: latest");
    }
    const client = await session.client();
    const { body } = await client.call("POST", `${imagePath(familiarName(reference))}/push`, {
      query: {
        tag: reference.tag,
        allPlatforms: values["all-platforms"] ? "1" : undefined,
        platform: values.platform ? platformJson(values.platform) : undefined,
      },
      headers: await registryAuthHeader(session, reference.registry),
      signal: session.io.signal,
    });
    await showProgress(session.io.stdout, body, { quiet: values.quiet });
    if (values.quiet) session.print(formatReference(reference));
    return 0;
  },
});
export default command;
