import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { confirm } from "../confirm.ts";
import { dryRunFlag, printPlan } from "../prune-preview.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove all stopped containers",
  args: { min: 0, max: 0 },
  flags: {
    filter: filterFlag('Remove only what matches (such as "until=<timestamp>")'),
    "dry-run": dryRunFlag,
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
  },
  async run(session, { values }) {
    if (values["dry-run"]) {
      return await printPlan(session, { kinds: ["container"], filters: values.filter });
    }
    const warning =
      "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
    if (!values.force && !(await confirm(session, warning))) return 1;
    const client = await session.client();
    const { ContainersDeleted, SpaceReclaimed } = await client.json<{
      ContainersDeleted: string[] | null;
      SpaceReclaimed: number;
    }>("POST", "/containers/prune", { query: { filters: encodeFilters(values.filter) } });
    if (ContainersDeleted && ContainersDeleted.length > 0) {
      session.print(`Deleted Containers:\n${ContainersDeleted.join("\n")}\n`);
    }
    session.print(`Total reclaimed space: ${humanSize(SpaceReclaimed ?? 0)}`);
    return 0;
  },
});
export default command;
