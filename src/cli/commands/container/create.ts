import { type Command, defineCommand } from "../../command.ts";
import { createContainer, refusal, requestOf } from "../../run/create-container.ts";
import { CREATE_FLAGS } from "../../run/flags.ts";
import type { ContainerRequest } from "../../run/request.ts";

const command: Command<typeof CREATE_FLAGS> = defineCommand({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a container",
  spellings: ["container create", "create"],
  args: { min: 1 },
  stopAtArgument: true,
  flags: CREATE_FLAGS,
  async run(session, flags) {
    let request: ContainerRequest;
    try {
      request = requestOf(session, flags);
    } catch (error) {
      throw refusal(error);
    }
    session.print(await createContainer(session, flags, request));
    return 0;
  },
});
export default command;
