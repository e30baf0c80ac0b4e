import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { CONTAINER_TABLE, type ContainerSummary, containerRow } from "../../format/container.ts";
import {
  containerTree,
  GROUPINGS,
  type Grouping,
  isGrouping,
} from "../../format/container-tree.ts";
import { paintFor } from "../../format/style.ts";
import { PS_WORDS, printRows } from "../../format/table.ts";
import { treeLines } from "../../format/tree.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

const RAW = [
  "container_id: {{.ID}}",
  "image: {{.Image}}",
  "command: {{.Command}}",
  "created_at: {{.CreatedAt}}",
  "state: {{- pad .State 1 0}}",
  "status: {{- pad .Status 1 0}}",
  "names: {{.Names}}",
  "labels: {{- pad .Labels 1 0}}",
  "ports: {{- pad .Ports 1 0}}",
  "",
].join("\\n");

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List containers",
  spellings: ["container ls", "container list", "container ps", "ps"],
  args: { min: 0, max: 0 },
  flags: {
    all: { type: "bool", shorthand: "a", usage: "Show stopped containers too" },
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    last: {
      type: "int",
      shorthand: "n",
      default: -1,
      usage: "Show the n containers created last, running or not",
    },
    latest: { type: "bool", shorthand: "l", usage: "Show the container created last" },
    "no-trunc": { type: "bool", usage: "Show ids and texts whole" },
    quiet: { type: "bool", shorthand: "q", usage: "Print ids only" },
    size: { type: "bool", shorthand: "s", usage: "Show sizes of file systems" },
    tree: {
      type: "string",
      noOptionDefault: "project",
      valueName: `{${GROUPINGS.join("|")}}`,
      usage: "Show containers beneath their project, network, or the one whose network they share",
    },
  },
  async run(session, { values, changed }) {
    const grouping = treeGrouping(values, changed);
    const configured = session.config.psFormat;
    let format = values.format || (configured && !values.quiet ? configured : "table");
    const last = values.latest && values.last === -1 ? 1 : values.last;
    // A template that shows the size needs it from the daemon.
    const size = values.size || /\.Size\b|\bjson \.(?!\w)/.test(format);
    const client = await session.client();
    const rows = await client.json<ContainerSummary[]>("GET", "/containers/json", {
      query: {
        all: values.all || undefined,
        limit: last > 0 ? last : undefined,
        size: size || undefined,
        filters: encodeFilters(values.filter),
      },
    });
    if (grouping !== undefined) {
      const view = { paint: paintFor(session.io.stdout), whole: values["no-trunc"] };
      for (const line of treeLines(containerTree(rows, grouping, view))) session.print(line);
      return 0;
    }
    const sized = values.size ? "\\t{{.Size}}" : "";
    if (format === "table") format = values.quiet ? "{{.ID}}" : `${CONTAINER_TABLE}${sized}`;
    else if (format === "raw") {
      format = values.quiet
        ? "container_id: {{.ID}}"
        : RAW + (values.size ? "size: {{.Size}}\\n" : "");
    } else if (values.quiet && format === "json") format = "json";
    await printRows(session.io.stdout, containerRow(!values["no-trunc"]), rows, format, PS_WORDS);
    return 0;
  },
});
export default command;

/** What --tree groups by; throws where it is given with a flag that shapes the table. */
function treeGrouping(
  { tree }: { tree: string },
  changed: ReadonlySet<string>,
): Grouping | undefined {
  if (!changed.has("tree")) return undefined;
  for (const flag of ["format", "quiet", "size"]) {
    if (changed.has(flag)) throw new GantryError("invalid", `--${flag} does not go with --tree`);
  }
  if (isGrouping(tree)) return tree;
  const known = GROUPINGS.join(", ");
  throw new GantryError("invalid", `cannot group by ${JSON.stringify(tree)}: one of ${known}`);
}
