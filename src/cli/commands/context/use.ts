import { type Command, defineCommand } from "../../command.ts";
import { saveConfigFile } from "../../config/config-file.ts";

const command: Command = defineCommand({
  usage: "CONTEXT",
  short: "Set the current context",
  args: { min: 1, max: 1 },
  flags: {},
  async run(session, { args }) {
    const name = args[0]!;
    if (name !== "default") session.contexts.get(name);
    const config = { ...session.config };
    if (name === "default") delete config.currentContext;
    else config.currentContext = name;
    await saveConfigFile(session.configPath, config);
    session.print(name);
    session.warn(`Current context is now ${JSON.stringify(name)}`);
    if (session.io.env["DOCKER_HOST"]) {
      session.warn(
        `Warning: DOCKER_HOST environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset DOCKER_HOST environment variable.`,
      );
    }
    return 0;
  },
});
export default command;
