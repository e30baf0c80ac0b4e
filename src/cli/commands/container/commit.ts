import { GantryError } from "../../../base/index.ts";
import { familiarName, parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  short: "Make an image of a container's changes",
  spellings: ["container commit", "commit"],
  args: { min: 1, max: 2 },
  flags: {
    author: { type: "string", shorthand: "a", usage: "Author of the image" },
    change: { type: "list", shorthand: "c", usage: "Apply an instruction of a Dockerfile" },
    message: { type: "string", shorthand: "m", usage: "Comment" },
    "no-pause": { type: "bool", usage: "Let the container run meanwhile" },
    pause: { type: "bool", shorthand: "p", default: true, hidden: true },
  },
  async run(session, { values, args }) {
    const [container = "", name = ""] = args;
    const reference = name === "" ? undefined : parseReference(name);
    if (reference?.digest) {
      throw new GantryError("invalid", "cannot commit to digest reference");
    }
    const client = await session.client();
    const { Id } = await client.json<{ Id: string }>("POST", "/commit", {
      query: {
        container,
        repo: reference && familiarName(reference),
        tag: reference?.tag,
        author: values.author || undefined,
        comment: values.message || undefined,
        changes: values.change.length > 0 ? values.change : undefined,
        pause: values["no-pause"] || !values.pause ? 0 : undefined,
      },
    });
    session.print(Id);
    return 0;
  },
});
export default command;
