import { type Command, defineCommand } from "../../command.ts";
import { dropLogin, HUB_ADDRESS, serverAddress } from "../../config/credentials.ts";

const command: Command = defineCommand({
  usage: "[SERVER]",
  short: "Log out from a registry",
  long: "Log out from a registry.\nWithout a server: Docker Hub.",
  args: { min: 0, max: 1 },
  flags: {},
  async run(session, { args }) {
    const address = serverAddress(args[0] ?? "");
    const known = await dropLogin(session, address);
    if (known) session.print(`Removing login credentials for ${address}`);
    else if (address === HUB_ADDRESS) session.print("Not logged in to Docker Hub");
    else session.print(`Not logged in to ${address}`);
    return 0;
  },
});
export default command;
