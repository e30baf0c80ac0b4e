import { type Command, defineCommand } from "../../command.ts";
import { registryAuthHeader } from "../../config/credentials.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

interface Found {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}
const DESCRIPTION_COLUMNS = 45;

const command: Command = defineCommand({
  usage: "[OPTIONS] TERM",
  short: "Search a registry for images",
  args: { min: 1, max: 1 },
  flags: {
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    limit: { type: "int", usage: "Show at most so many results" },
    "no-trunc": { type: "bool", usage: "Show descriptions whole" },
  },
  async run(session, { values, args }) {
    const term = args[0]!;
    const client = await session.client();
    const first = term.includes("/") ? term.slice(0, term.indexOf("/")) : "";
    const registry = /[.:]|^localhost$/.test(first) ? first : "docker.io";
    const found = await client.json<Found[]>("GET", "/images/search", {
      query: { term, limit: values.limit || undefined, filters: encodeFilters(values.filter) },
      headers: await registryAuthHeader(session, registry),
    });
    const best = [...found].sort((a, b) => b.star_count - a.star_count);
    const table = String.raw`table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}`;
    const format = !values.format || values.format === "table" ? table : values.format;
    await printRows(session.io.stdout, searchRow(!values["no-trunc"]), best, format);
    return 0;
  },
});
export default command;

function searchRow(truncate: boolean): RowType<Found> {
  const mark = (yes: boolean): string => (yes ? "[OK]" : "");
  const short = (text: string): string =>
    truncate && text.length > DESCRIPTION_COLUMNS
      ? `${text.slice(0, DESCRIPTION_COLUMNS - 1)}…`
      : text;
  return {
    goType: "*registry.searchContext",
    columns: {
      Name: { header: "NAME", value: ({ name }) => name },
      Description: {
        header: "DESCRIPTION",
        value: ({ description }) => short(description.replace(/[\r\n]/g, " ")),
      },
      StarCount: { header: "STARS", value: ({ star_count }) => String(star_count) },
      IsOfficial: { header: "OFFICIAL", value: ({ is_official }) => mark(is_official) },
      IsAutomated: { header: "AUTOMATED", value: ({ is_automated }) => mark(is_automated) },
    },
  };
}
