import { GantryError, messageOf } from "../../../base/index.ts";
import { familiarName, parseReference, type Reference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { imagePath } from "../image-path.ts";

const command: Command = defineCommand({
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Give an image another name",
  spellings: ["image tag", "tag"],
  args: { min: 2, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [source = "", target = ""] = args;
    const reference = targetReference(target);
    const client = await session.client();
    await client.empty("POST", `${imagePath(source)}/tag`, {
      query: { repo: familiarName(reference), tag: reference.tag },
    });
    return 0;
  },
});
export default command;

function targetReference(text: string): Reference {
  try {
    return parseReference(text);
  } catch (cause) {
    const shown = JSON.stringify(text);
    const message = `Error parsing reference: ${shown} is not a valid repository/tag`;
    throw new GantryError("invalid", `${message}: ${messageOf(cause)}`, { cause });
  }
}
