import { type Command, defineCommand } from "../../command.ts";
import { joinStandardStreams } from "../../streams/join-standard.ts";
import { BUILDER_NAME_FLAGS, checkBuilder } from "./checked-builder.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Connect standard streams to the builder (BuildKit's gRPC)",
  args: { min: 0, max: 0 },
  flags: {
    ...BUILDER_NAME_FLAGS,
    platform: { type: "string", usage: "Platform of the node: there is one node for all" },
    progress: { type: "string", default: "none", usage: "How to show the start: it is no wait" },
  },
  async run(session, { values }) {
    checkBuilder(values.builder);
    const client = await session.client();
    const { stream } = await client.hijack("/grpc", { upgrade: "h2c" });
    await joinStandardStreams(session.io, stream);
    return 0;
  },
});
export default command;
