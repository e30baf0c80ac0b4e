import { messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { dropLogin, serverAddress } from "../../config/credentials.ts";

const command: Command = defineCommand({
  usage: "[SERVER]",
  short: "Log out from a registry",
  long: "Log out from a registry.\nWithout a server: Docker Hub.",
  args: { min: 0, max: 1 },
  flags: {},
  async run(session, { args }) {
    const address = serverAddress(args[0] ?? "");
    session.print(`Removing login credentials for ${address}`);
    await dropLogin(session, address).catch((error: unknown) => {
      session.warn("WARNING: could not erase credentials:");
      session.warn(`${address}: ${messageOf(error)}`);
    });
    return 0;
  },
});
export default command;
