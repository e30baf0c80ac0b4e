import { openStream } from "../../../client/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { writeAll } from "../../io.ts";

const command: Command = defineCommand({
  usage: "",
  short: "Connect standard streams to the daemon",
  args: { min: 0, max: 0 },
  flags: {},
  async run(session) {
    const { endpoint, tls } = session.resolve();
    const { io } = session;
    const stream = await openStream(endpoint, tls, io.env);
    io.signal.addEventListener("abort", () => stream.destroy());
    const input = io.stdin.open();
    // The end of one direction leaves the other open: answers come after the last request.
    input.pipe(stream);
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) await writeAll(io.stdout, chunk);
    } finally {
      io.stdin.close();
      stream.destroy();
    }
    return 0;
  },
});
export default command;
