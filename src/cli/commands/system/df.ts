import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import {
  type DiskUsage,
  diskUsageLines,
  diskUsageRow,
  verboseText,
} from "../../format/disk-usage.ts";
import { printRows } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

const TABLE = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Show disk usage",
  args: { min: 0, max: 0 },
  flags: {
    format: { type: "string", usage: FORMAT_USAGE },
    verbose: { type: "bool", shorthand: "v", usage: "Show each object" },
  },
  async run(session, { values }) {
    if (values.verbose && values.format !== "" && values.format !== "json") {
      throw new GantryError("invalid", "the verbose option cannot be used with a custom format");
    }
    const client = await session.client();
    const usage = await client.json<DiskUsage>("GET", "/system/df");
    if (values.verbose) {
      session.io.stdout.write(verboseText(usage));
      return 0;
    }
    const format = values.format === "" || values.format === "table" ? TABLE : values.format;
    await printRows(session.io.stdout, diskUsageRow, diskUsageLines(usage), format);
    return 0;
  },
});
export default command;
