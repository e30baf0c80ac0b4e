import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { joinPairs, shortId } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

interface NetworkAnswer {
  Id: string;
  Name: string;
  Driver: string;
  Scope: string;
  EnableIPv4?: boolean;
  EnableIPv6: boolean;
  Internal: boolean;
  Labels: Record<string, string> | null;
  Created: string;
}

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List networks",
  spellings: ["network ls", "network list"],
  args: { min: 0, max: 0 },
  flags: {
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    "no-trunc": { type: "bool", usage: "Show ids whole" },
    quiet: { type: "bool", shorthand: "q", usage: "Print ids only" },
  },
  async run(session, { values }) {
    const client = await session.client();
    const networks = await client.json<NetworkAnswer[]>("GET", "/networks", {
      query: { filters: encodeFilters(values.filter) },
    });
    const configured = session.config.networksFormat;
    let format = values.format || (configured && !values.quiet ? configured : "table");
    if (format === "table") {
      format = values.quiet ? "{{.ID}}" : "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";
    } else if (format === "raw") {
      format = values.quiet
        ? "network_id: {{.ID}}"
        : "network_id: {{.ID}}\\nname: {{.Name}}\\ndriver: {{.Driver}}\\nscope: {{.Scope}}\\n";
    }
    const sorted = [...networks].sort((a, b) =>
      a.Name.localeCompare(b.Name, "en", { numeric: true }),
    );
    await printRows(session.io.stdout, networkRow(!values["no-trunc"]), sorted, format);
    return 0;
  },
});
export default command;

function networkRow(truncate: boolean): RowType<NetworkAnswer> {
  const column = (header: string, value: (row: NetworkAnswer) => unknown) => ({ header, value });
  return {
    goType: "*network.networkContext",
    columns: {
      ID: column("NETWORK ID", ({ Id }) => (truncate ? shortId(Id) : Id)),
      Name: column("NAME", ({ Name }) => Name),
      Driver: column("DRIVER", ({ Driver }) => Driver),
      Scope: column("SCOPE", ({ Scope }) => Scope),
      IPv4: column("IPV4", ({ EnableIPv4 }) => String(EnableIPv4 ?? true)),
      IPv6: column("IPV6", ({ EnableIPv6 }) => String(EnableIPv6)),
      Internal: column("INTERNAL", ({ Internal }) => String(Internal)),
      Labels: column("LABELS", ({ Labels }) => joinPairs(Labels)),
      CreatedAt: column("CREATED AT", ({ Created }) => goStamp(Created)),
    },
    methods: { Label: (row, key) => row.Labels?.[key] ?? "" },
  };
}

/** An RFC 3339 time in UTC as Go prints a time: "2025-01-01 00:00:00.5 +0000 UTC". */
function goStamp(text: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|([-+]\d\d):(\d\d))$/.exec(text);
  if (!match) return text;
  const fraction = (match[3] ?? "").replace(/\.?0+$/, "");
  const zone = match[4] === "Z" ? "+0000 UTC" : `${match[5]}${match[6]} ${match[5]}${match[6]}`;
  return `${match[1]} ${match[2]}${fraction} ${zone}`;
}
