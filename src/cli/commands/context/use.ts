import { type Command, defineCommand } from "../../command.ts";
import { saveConfigFile } from "../../config/config-file.ts";
import { checkContextName } from "../../config/context-store.ts";
import { hostOverrides } from "./shared.ts";

const command: Command = defineCommand({
  usage: "CONTEXT",
  short: "Set the current context",
  args: { min: 1, max: 1 },
  flags: {},
  async run(session, { args }) {
    const name = args[0]!;
    if (name !== "default") {
      checkContextName(name);
      session.contexts.get(name);
    }
    const { currentContext = "default", ...config } = session.config;
    if (currentContext !== name) {
      const chosen = name === "default" ? config : { ...config, currentContext: name };
      await saveConfigFile(session.configPath, chosen);
    }
    session.print(name);
    session.warn(`Current context is now ${JSON.stringify(name)}`);
    if (name !== "default" && session.io.env["DOCKER_HOST"]) {
      session.warn(hostOverrides(JSON.stringify(name)));
    }
    return 0;
  },
});
export default command;
