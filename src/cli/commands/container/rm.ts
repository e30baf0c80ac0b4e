import { GantryError, kindOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { forEach, segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Remove containers",
  spellings: ["container rm", "container remove", "rm"],
  args: { min: 1 },
  flags: {
    force: { type: "bool", shorthand: "f", usage: "Kill and remove running containers too" },
    link: { type: "bool", shorthand: "l", usage: "Remove the link, not the container" },
    volumes: { type: "bool", shorthand: "v", usage: "Remove anonymous volumes too" },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    return forEach(
      session,
      args,
      async (name) => {
        const trimmed = name.replace(/^\/+|\/+$/g, "");
        if (trimmed === "") throw new GantryError("invalid", "Container name cannot be empty");
        await client.empty("DELETE", `/containers/${segment(trimmed)}`, {
          query: {
            force: values.force || undefined,
            link: values.link || undefined,
            v: values.volumes || undefined,
          },
        });
        return name;
      },
      // With --force, a container that is not there is as good as removed.
      { parallel: true, tolerate: (error) => values.force && kindOf(error) === "not-found" },
    );
  },
});
export default command;
