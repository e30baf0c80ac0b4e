import { kindOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { forEach } from "../each.ts";
import { imagePath } from "../image-path.ts";
import { platformJson } from "./load.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Remove images",
  spellings: ["image rm", "image remove", "rmi"],
  args: { min: 1 },
  flags: {
    force: { type: "bool", shorthand: "f", usage: "Remove even if it is used" },
    "no-prune": { type: "bool", usage: "Keep untagged parents" },
    platform: { type: "stringSlice", usage: "Remove only these platforms" },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        const removed = await client.json<({ Deleted?: string } & { Untagged?: string })[]>(
          "DELETE",
          imagePath(name),
          {
            query: {
              force: values.force || undefined,
              noprune: values["no-prune"] || undefined,
              platforms: values.platform.length > 0 ? values.platform.map(platformJson) : undefined,
            },
          },
        );
        return removed
          .map(({ Deleted, Untagged }) =>
            Deleted ? `Deleted: ${Deleted}` : `Untagged: ${Untagged}`,
          )
          .join("\n");
      },
      { tolerate: (error) => values.force && kindOf(error) === "not-found" },
    );
  },
});
export default command;
