import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { joinPairs } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

export interface VolumeAnswer {
  Name: string;
  Driver: string;
  Mountpoint: string;
  Scope: string;
  Labels: Record<string, string> | null;
  UsageData?: { Size: number; RefCount: number } | null;
}

const TABLE = "table {{.Driver}}\\t{{.Name}}";
const CLUSTER_TABLE =
  "table {{.Name}}\\t{{.Group}}\\t{{.Driver}}\\t{{.Availability}}\\t{{.Status}}";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List volumes",
  spellings: ["volume ls", "volume list"],
  args: { min: 0, max: 0 },
  flags: {
    cluster: { type: "bool", hidden: true },
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    quiet: { type: "bool", shorthand: "q", usage: "Print names only" },
  },
  async run(session, { values }) {
    const client = await session.client();
    const { Volumes } = await client.json<{ Volumes: VolumeAnswer[] | null }>("GET", "/volumes", {
      query: { filters: encodeFilters(values.filter) },
    });
    const configured = session.config.volumesFormat;
    let format = values.format || (configured && !values.quiet ? configured : "table");
    if (format === "table") {
      format = values.quiet ? "{{.Name}}" : values.cluster ? CLUSTER_TABLE : TABLE;
    } else if (format === "raw")
      format = values.quiet ? "name: {{.Name}}" : "name: {{.Name}}\\ndriver: {{.Driver}}\\n";
    // A node in no swarm has no cluster volumes.
    const shown = values.cluster ? [] : (Volumes ?? []);
    const sorted = [...shown].sort((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
    await printRows(session.io.stdout, volumeRow, sorted, format);
    return 0;
  },
});
export default command;

const column = (header: string, value: (row: VolumeAnswer) => unknown) => ({ header, value });
export const volumeRow: RowType<VolumeAnswer> = {
  goType: "*formatter.volumeContext",
  columns: {
    Name: column("VOLUME NAME", ({ Name }) => Name),
    Driver: column("DRIVER", ({ Driver }) => Driver),
    Scope: column("SCOPE", ({ Scope }) => Scope),
    Mountpoint: column("MOUNTPOINT", ({ Mountpoint }) => Mountpoint),
    Labels: column("LABELS", ({ Labels }) => joinPairs(Labels)),
    Links: column("LINKS", ({ UsageData }) => (UsageData ? String(UsageData.RefCount) : "N/A")),
    Size: column("SIZE", () => "N/A"),
    Availability: column("AVAILABILITY", () => "N/A"),
    Group: column("GROUP", () => "N/A"),
    Status: column("STATUS", () => "N/A"),
  },
  methods: { Label: (row, key) => row.Labels?.[key] ?? "" },
};
