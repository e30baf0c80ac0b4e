import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { confirm } from "../confirm.ts";
import { dryRunFlag, printPlan } from "../prune-preview.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove unused networks",
  args: { min: 0, max: 0 },
  flags: {
    filter: filterFlag('Remove only what matches (such as "until=<timestamp>")'),
    "dry-run": dryRunFlag,
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
  },
  async run(session, { values }) {
    if (values["dry-run"]) {
      return await printPlan(session, { kinds: ["network"], filters: values.filter });
    }
    const warning =
      "WARNING! This will remove all custom networks not used by at least one container.\n" +
      "Are you sure you want to continue?";
    if (!values.force && !(await confirm(session, warning))) return 1;
    const client = await session.client();
    const { NetworksDeleted } = await client.json<{ NetworksDeleted: string[] | null }>(
      "POST",
      "/networks/prune",
      { query: { filters: encodeFilters(values.filter) } },
    );
    if (NetworksDeleted && NetworksDeleted.length > 0) {
      session.print(`Deleted Networks:\n${NetworksDeleted.join("\n")}\n`);
    }
    return 0;
  },
});
export default command;
