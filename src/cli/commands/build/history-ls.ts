import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { ago, ellipsis } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import {
  completedMs,
  durationText,
  type HistoryRecord,
  nameOf,
  readHistory,
  startedMs,
  statusOfRecord,
} from "./history-records.ts";

const TABLE = "table {{.Ref}}\\t{{.Name}}\\t{{.Status}}\\t{{.CreatedAt}}\\t{{.Duration}}";
const NAME_COLUMNS = 36;

const rowOf = (noTrunc: boolean): RowType<HistoryRecord> => ({
  goType: "*commands.historyContext",
  columns: {
    Ref: { header: "BUILD ID", value: ({ ref }) => ref },
    Name: {
      header: "NAME",
      value: (record) => (noTrunc ? nameOf(record) : ellipsis(nameOf(record), NAME_COLUMNS)),
    },
    Status: { header: "STATUS", value: statusOfRecord },
    CreatedAt: { header: "CREATED AT", value: (record) => ago(startedMs(record) / 1000) },
    Duration: {
      header: "DURATION",
      value: (record) => durationText((completedMs(record) ?? Date.now()) - startedMs(record)),
    },
    Steps: { header: "STEPS", value: ({ numTotalSteps }) => numTotalSteps },
    CachedSteps: { header: "CACHED", value: ({ numCachedSteps }) => numCachedSteps },
  },
});

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List builds",
  args: { min: 0, max: 0 },
  flags: {
    ...BUILDER_FLAGS,
    filter: { type: "stringArray", usage: 'Show only what matches ("status=error", "ref=…")' },
    format: { type: "string", default: "table", usage: FORMAT_USAGE },
    local: { type: "bool", usage: "Builds of the current repository: every build is shown" },
    "no-trunc": { type: "bool", usage: "Show everything in full" },
  },
  async run(session, { values }) {
    checkBuilder(values.builder);
    if (values.local) session.warn("WARNING: --local has no effect: every build is shown");
    const { signal, stdout } = session.io;
    using builder = await openBuilder(session);
    const filter = values.filter.map((text) => text.replace(/^(\w+)=(?![=])/, "$1=="));
    const joined = filter.length === 0 ? [] : [filter.join(",")];
    const records = await readHistory(builder, { signal, filter: joined });
    const format = values.format === "table" ? TABLE : values.format;
    await printRows(stdout, rowOf(values["no-trunc"]), records, format);
    return 0;
  },
});
export default command;
