import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { confirm } from "../confirm.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "Remove unused data",
  args: { min: 0, max: 0 },
  flags: {
    all: {
      type: "bool",
      shorthand: "a",
      usage: "Remove every unused image, not only dangling ones",
    },
    filter: filterFlag('Remove only what matches (such as "label=<key>=<value>")'),
    force: { type: "bool", shorthand: "f", usage: "Do not ask" },
    volumes: { type: "bool", usage: "Remove anonymous volumes too" },
  },
  async run(session, { values }) {
    const what = [
      "all stopped containers",
      "all networks not used by at least one container",
      ...(values.volumes ? ["all anonymous volumes not used by at least one container"] : []),
      values.all
        ? "all images without at least one container associated to them"
        : "all dangling images",
    ];
    const warning = `WARNING! This will remove:\n${what.map((one) => `  - ${one}\n`).join("")}\nAre you sure you want to continue?`;
    if (!values.force && !(await confirm(session, warning))) return 1;
    const client = await session.client();
    const prune = (path: string, filters = values.filter) =>
      client.json<Record<string, unknown>>("POST", path, {
        query: { filters: encodeFilters(filters) },
      });
    const containers = await prune("/containers/prune");
    const networks = await prune("/networks/prune");
    const volumes = values.volumes ? await prune("/volumes/prune") : {};
    const images = await prune("/images/prune", {
      ...values.filter,
      dangling: [String(!values.all)],
    });
    const list = (title: string, value: unknown) => {
      const names = (value ?? []) as (string | { Untagged?: string; Deleted?: string })[];
      if (names.length === 0) return;
      const lines = names.map((one) => {
        if (typeof one === "string") return one;
        return one.Untagged ? `untagged: ${one.Untagged}` : `deleted: ${one.Deleted}`;
      });
      session.print(`${title}:\n${lines.join("\n")}\n`);
    };
    list("Deleted Containers", containers["ContainersDeleted"]);
    list("Deleted Networks", networks["NetworksDeleted"]);
    list("Deleted Volumes", volumes["VolumesDeleted"]);
    list("Deleted Images", images["ImagesDeleted"]);
    const total = [containers, volumes, images].reduce(
      (sum, answer) => sum + Number(answer["SpaceReclaimed"] ?? 0),
      0,
    );
    session.print(`Total reclaimed space: ${humanSize(total)}`);
    return 0;
  },
});
export default command;
