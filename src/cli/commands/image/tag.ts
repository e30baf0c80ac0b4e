import { familiarName, parseReference } from "../../../spec/index.ts";
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
    const reference = parseReference(target);
    const client = await session.client();
    await client.empty("POST", `${imagePath(source)}/tag`, {
      query: { repo: familiarName(reference), tag: reference.tag },
    });
    return 0;
  },
});
export default command;
