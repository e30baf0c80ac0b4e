import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS } from "./checked-builder.ts";
import { platformTexts, versionText } from "./worker-facts.ts";

interface Line {
  name: string;
  driver: string;
  status: string;
  version: string;
  platforms: string;
}

const TABLE =
  "table {{.Name}}\\t{{.DriverEndpoint}}\\t{{.Status}}\\t{{.Buildkit}}\\t{{.Platforms}}";

const row: RowType<Line> = {
  goType: "*commands.lsContext",
  columns: {
    Name: { header: "NAME/NODE", value: ({ name }) => name },
    DriverEndpoint: { header: "DRIVER/ENDPOINT", value: ({ driver }) => driver },
    Status: { header: "STATUS", value: ({ status }) => status },
    Buildkit: { header: "BUILDKIT", value: ({ version }) => version },
    Platforms: { header: "PLATFORMS", value: ({ platforms }) => platforms },
  },
};

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List builders: the daemon is the only one",
  args: { min: 0, max: 0 },
  flags: {
    ...BUILDER_FLAGS,
    format: { type: "string", default: "table", usage: FORMAT_USAGE },
    "no-trunc": { type: "bool", usage: "Show everything in full" },
  },
  async run(session, { values }) {
    const { signal, stdout } = session.io;
    const isTable = values.format === "table";
    using builder = await openBuilder(session, values.timeout);
    const [workers, version] = await Promise.all([
      builder.workers({ signal }),
      builder.info({ signal }),
    ]);
    const facts = {
      status: "running",
      version: versionText(version),
      platforms: shownPlatforms(platformTexts(workers), isTable && !values["no-trunc"]),
    };
    const head = { name: "default*", driver: "docker", status: "", version: "", platforms: "" };
    const node = { name: " \\_ default", driver: " \\_ default", ...facts };
    const lines = isTable ? [head, node] : [{ ...node, name: "default", driver: "docker" }];
    await printRows(stdout, row, lines, isTable ? TABLE : values.format);
    return 0;
  },
});
export default command;

const PLATFORMS_SHOWN = 4;

function shownPlatforms(platforms: readonly string[], truncate: boolean): string {
  const hidden = platforms.length - PLATFORMS_SHOWN;
  if (!truncate || hidden <= 0) return platforms.join(", ");
  return [...platforms.slice(0, PLATFORMS_SHOWN), `(${hidden} more)`].join(", ");
}
