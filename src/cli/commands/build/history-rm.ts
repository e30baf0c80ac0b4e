import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import { findRecord, readHistory } from "./history-records.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [REF...]",
  short: "Forget builds",
  args: { min: 0 },
  flags: { ...BUILDER_FLAGS, all: { type: "bool", usage: "Forget every build" } },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    if (values.all === args.length > 0) {
      throw new GantryError(
        "invalid",
        values.all
          ? "cannot use --all when build references are given"
          : "no build reference given: name one, or use --all",
      );
    }
    const { signal } = session.io;
    using builder = await openBuilder(session);
    const records = await readHistory(builder, { signal });
    const wanted = values.all ? records : args.map((name) => findRecord(records, name));
    for (const { ref } of wanted) await builder.forget(ref, { signal });
    return 0;
  },
});
export default command;
