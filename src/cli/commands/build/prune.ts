import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { filterFlag } from "../../flags/filters.ts";
import { printRows } from "../../format/table.ts";
import { confirm } from "../confirm.ts";
import { dryRunFlag, printPlan } from "../prune-preview.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import { USAGE_TABLE, usageFilter, usageRow, verboseRecord } from "./usage-records.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove what the build cache does not need",
  args: { min: 0, max: 0 },
  flags: {
    ...BUILDER_FLAGS,
    all: { type: "bool", shorthand: "a", usage: "Remove internal records and cache mounts, too" },
    filter: filterFlag('Remove only what matches (such as "until=24h")'),
    "dry-run": dryRunFlag,
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
    "keep-storage": {
      type: "bytes",
      hidden: true,
      deprecated: 'keep-storage flag has been changed to "reserved-space"',
    },
    "max-used-space": { type: "bytes", usage: "Most that the cache may take" },
    "min-free-space": { type: "bytes", usage: "Least that is to be free on the disk" },
    "reserved-space": { type: "bytes", usage: "What the cache may keep in any case" },
    verbose: { type: "bool", usage: "Show everything about each record" },
  },
  async run(session, { values }) {
    checkBuilder(values.builder);
    if (values["dry-run"]) {
      const { filter: filters, all } = values;
      const space = {
        "reserved-space": values["reserved-space"] || values["keep-storage"],
        "max-used-space": values["max-used-space"],
        "min-free-space": values["min-free-space"],
      };
      return await printPlan(session, { kinds: ["build-cache"], all, filters, space });
    }
    const what = values.all ? "all build cache" : "all dangling build cache";
    const warning = `WARNING! This will remove ${what}. Are you sure you want to continue?`;
    if (!values.force && !(await confirm(session, warning))) return 1;
    const { signal, stdout } = session.io;
    using builder = await openBuilder(session, values.timeout);
    const { filter, ageNs } = usageFilter(values.filter);
    const request = {
      ...{ filter, all: values.all, keepDuration: ageNs },
      reservedSpace: BigInt(values["reserved-space"] || values["keep-storage"]),
      maxUsedSpace: BigInt(values["max-used-space"]),
      minFreeSpace: BigInt(values["min-free-space"]),
    };
    const records = [];
    for await (const record of builder.prune(request, { signal })) {
      records.push(record);
      if (values.verbose) stdout.write(`${verboseRecord(record)}\n`);
    }
    if (!values.verbose && records.length > 0) {
      await printRows(stdout, usageRow, records, USAGE_TABLE);
    }
    const total = records.reduce((sum, { size }) => sum + Number(size), 0);
    session.print(`Total:\t${humanSize(total)}`);
    return 0;
  },
});
export default command;
