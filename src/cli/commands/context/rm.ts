import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { saveConfigFile } from "../../config/config-file.ts";
import { checkContextName } from "../../config/context-store.ts";
import { forEach } from "../each.ts";

const command: Command = defineCommand({
  usage: "CONTEXT [CONTEXT...]",
  short: "Remove contexts",
  spellings: ["context rm", "context remove"],
  args: { min: 1 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Remove even the current one" } },
  async run(session, { values, args }) {
    const store = session.contexts;
    const current = session.contextName;
    return forEach(session, args, async (name) => {
      if (name === "default") {
        throw new GantryError("invalid", 'context "default" cannot be removed');
      }
      checkContextName(name);
      if (!store.has(name) && !values.force && name !== current) {
        throw new GantryError("not-found", `context ${JSON.stringify(name)} does not exist`);
      }
      if (name === current) {
        if (!values.force) {
          throw new GantryError(
            "conflict",
            `context ${JSON.stringify(name)} is in use, set -f flag to force remove`,
          );
        }
        const { currentContext: _, ...config } = session.config;
        await saveConfigFile(session.configPath, config);
      }
      store.remove(name);
      return name;
    });
  },
});
export default command;
