import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { confirm } from "../confirm.ts";
import { dryRunFlag, printPlan } from "../prune-preview.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove unused images",
  args: { min: 0, max: 0 },
  flags: {
    all: {
      type: "bool",
      shorthand: "a",
      usage: "Remove every unused image, not only dangling ones",
    },
    filter: filterFlag('Remove only what matches (such as "until=<timestamp>")'),
    "dry-run": dryRunFlag,
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
  },
  async run(session, { values }) {
    if (values["dry-run"]) {
      return await printPlan(session, {
        kinds: ["image"],
        all: values.all,
        filters: values.filter,
      });
    }
    const what = values.all
      ? "all images without at least one container associated to them"
      : "all dangling images";
    const warning = `WARNING! This will remove ${what}.\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(session, warning))) return 1;
    const client = await session.client();
    const filters = { ...values.filter, dangling: [String(!values.all)] };
    const { ImagesDeleted, SpaceReclaimed } = await client.json<{
      ImagesDeleted: { Untagged?: string; Deleted?: string }[] | null;
      SpaceReclaimed: number;
    }>("POST", "/images/prune", { query: { filters: encodeFilters(filters) } });
    if (ImagesDeleted && ImagesDeleted.length > 0) {
      const lines = ImagesDeleted.map(({ Untagged, Deleted }) =>
        Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`,
      );
      session.print(`Deleted Images:\n${lines.join("\n")}\n`);
    }
    session.print(`Total reclaimed space: ${humanSize(SpaceReclaimed ?? 0)}`);
    return 0;
  },
});
export default command;
