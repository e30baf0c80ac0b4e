import { GantryError, humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { confirm } from "../confirm.ts";
import { dryRunFlag, printPlan } from "../prune-preview.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove unused volumes",
  args: { min: 0, max: 0 },
  flags: {
    all: {
      type: "bool",
      shorthand: "a",
      usage: "Remove named volumes too, not only anonymous ones",
    },
    filter: filterFlag('Remove only what matches (such as "label=<label>")'),
    "dry-run": dryRunFlag,
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
  },
  async run(session, { values }) {
    if (values["dry-run"]) {
      return await printPlan(session, {
        kinds: ["volume"],
        filters: { ...values.filter, ...(values.all ? { all: ["true"] } : {}) },
      });
    }
    if (values.all && values.filter["all"]) {
      throw new GantryError(
        "invalid",
        "conflicting options: cannot specify both --all and --filter all=1",
      );
    }
    const filters = values.all ? { ...values.filter, all: ["true"] } : values.filter;
    const what = values.all ? "all volumes" : "anonymous local volumes";
    const warning = `WARNING! This will remove ${what} not used by at least one container.\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(session, warning))) return 1;
    const client = await session.client();
    const { VolumesDeleted, SpaceReclaimed } = await client.json<{
      VolumesDeleted: string[] | null;
      SpaceReclaimed: number;
    }>("POST", "/volumes/prune", { query: { filters: encodeFilters(filters) } });
    if (VolumesDeleted && VolumesDeleted.length > 0) {
      session.print(`Deleted Volumes:\n${VolumesDeleted.join("\n")}\n`);
    }
    session.print(`Total reclaimed space: ${humanSize(SpaceReclaimed ?? 0)}`);
    return 0;
  },
});
export default command;
