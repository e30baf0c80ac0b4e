import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { filterFlag } from "../../flags/filters.ts";
import { printRows } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import {
  USAGE_TABLE,
  usageFilter,
  usageRow,
  usageSummary,
  verboseRecord,
} from "./usage-records.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Show what the build cache takes",
  args: { min: 0, max: 0 },
  flags: {
    ...BUILDER_FLAGS,
    filter: filterFlag("Show only what matches"),
    format: { type: "string", usage: FORMAT_USAGE },
    verbose: { type: "bool", usage: "Show everything about each record" },
  },
  async run(session, { values }) {
    checkBuilder(values.builder);
    if (values.format !== "" && values.verbose) {
      throw new GantryError("invalid", "--format and --verbose cannot be used together");
    }
    const { signal, stdout } = session.io;
    using builder = await openBuilder(session, values.timeout);
    const { filter, ageNs } = usageFilter(values.filter);
    const records = await builder.diskUsage({ filter, ageLimit: ageNs }, { signal });
    if (values.verbose) {
      for (const record of records) stdout.write(`${verboseRecord(record)}\n`);
    } else {
      const format = values.format === "" || values.format === "table" ? "" : values.format;
      await printRows(stdout, usageRow, records, format === "" ? USAGE_TABLE : format);
      if (format !== "") return 0;
    }
    stdout.write(usageSummary(records));
    return 0;
  },
});
export default command;
