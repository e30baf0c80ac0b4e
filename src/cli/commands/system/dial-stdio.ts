import { openStream } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { joinStandardStreams } from "../../streams/join-standard.ts";

const command: Command = defineCommand({
  usage: "",
  short: "Connect standard streams to the daemon",
  args: { min: 0, max: 0 },
  flags: {},
  async run(session) {
    const { endpoint, tls } = session.resolve();
    const { io } = session;
    const stream = await openStream(endpoint, tls, io.env);
    await joinStandardStreams(io, stream);
    return 0;
  },
});
export default command;
