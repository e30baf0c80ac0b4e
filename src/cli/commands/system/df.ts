import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { type DiskUsage, diskUsageLines, diskUsageRow } from "../../format/disk-usage.ts";
import { verboseText, verboseValue } from "../../format/disk-usage-verbose.ts";
import { objectFormat } from "../../format/object.ts";
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
    const whole = values.format === "" || values.format === "table";
    if (values.format === "raw") {
      throw new GantryError("invalid", "the format raw is not supported: use json or a template");
    }
    const verbose =
      values.verbose && !whole ? await objectFormat(values.format, { prefix: "" }) : undefined;
    const client = await session.client();
    const usage = await client.json<DiskUsage>("GET", "/system/df");
    if (verbose) {
      session.io.stdout.write(verbose(verboseValue(usage)));
      return 0;
    }
    if (values.verbose) {
      session.io.stdout.write(verboseText(usage));
      return 0;
    }
    const format = whole ? TABLE : values.format;
    await printRows(session.io.stdout, diskUsageRow, diskUsageLines(usage), format);
    return 0;
  },
});
export default command;
