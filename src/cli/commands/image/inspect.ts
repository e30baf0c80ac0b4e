import { type Command, defineCommand } from "../../command.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { inspectAll } from "../inspect-all.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Show details of images",
  args: { min: 1 },
  flags: {
    format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE },
    platform: { type: "string", usage: "Platform, where the image has several" },
  },
  run: (session, { values, args }) =>
    inspectAll(session, args, values.format, ["image"], { platform: values.platform }),
});
export default command;
