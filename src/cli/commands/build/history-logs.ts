import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import { findRecord, readHistory } from "./history-records.ts";
import { PlainDisplay } from "./progress/plain.ts";
import { RawJsonDisplay } from "./progress/rawjson.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [REF]",
  short: "Show what a build said",
  args: { min: 0, max: 1 },
  flags: {
    ...BUILDER_FLAGS,
    progress: { type: "string", default: "plain", usage: 'How to show it ("plain", "rawjson")' },
  },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    const { signal, stdout } = session.io;
    if (values.progress !== "plain" && values.progress !== "rawjson") {
      throw new GantryError("invalid", `invalid progress mode ${values.progress}`);
    }
    using builder = await openBuilder(session);
    const { ref } = findRecord(await readHistory(builder, { signal }), args[0] ?? "");
    const Display = values.progress === "plain" ? PlainDisplay : RawJsonDisplay;
    const display = new Display(stdout);
    for await (const status of builder.status(ref, { signal })) display.update(status);
    display.finish();
    return 0;
  },
});
export default command;
