import { openStream } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";

const command: Command = defineCommand({
  usage: "",
  short: "Connect standard streams to the daemon",
  args: { min: 0, max: 0 },
  flags: {},
  async run(session) {
    const { endpoint, tls } = session.resolve();
    const stream = await openStream(endpoint, tls);
    const input = session.io.stdin.open();
    input.pipe(stream);
    for await (const chunk of stream as AsyncIterable<Buffer>) session.io.stdout.write(chunk);
    session.io.stdin.close();
    return 0;
  },
});
export default command;
