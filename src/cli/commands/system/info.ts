import { messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { type InfoAnswer, infoText } from "../../format/info.ts";
import { objectFormat } from "../../format/object.ts";
import { STRUCTS } from "../../format/structs.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { VERSION } from "../../session.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Show what the daemon says of itself",
  spellings: ["system info", "info"],
  args: { min: 0, max: 0 },
  flags: { format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE } },
  async run(session, { values }) {
    const format = values.format ? await objectFormat(values.format, { prefix: "" }) : undefined;
    const clientInfo = {
      Debug: session.globals.values.debug,
      Version: VERSION,
      Context: session.contextName,
      Plugins: [],
      Warnings: null,
    };
    let info: InfoAnswer | undefined;
    const serverErrors: string[] = [];
    try {
      info = await (await session.client()).json<InfoAnswer>("GET", "/info");
    } catch (error) {
      serverErrors.push(messageOf(error));
    }
    if (format) {
      const errors = serverErrors.length > 0 ? { ServerErrors: serverErrors } : {};
      session.print(format(STRUCTS.info({ ...info, ...errors, ClientInfo: clientInfo })));
      for (const error of serverErrors) session.warn(error);
      return serverErrors.length === 0 ? 0 : 1;
    }
    session.io.stdout.write(infoText(clientInfo, info));
    for (const warning of info?.Warnings ?? []) session.warn(warning);
    for (const error of serverErrors) session.warn(error);
    return serverErrors.length === 0 ? 0 : 1;
  },
});
export default command;
