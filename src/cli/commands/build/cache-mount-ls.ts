import { humanDuration, humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

/** As the daemon lists them. */
export interface CacheMount {
  ID: string;
  Name: string;
  Size: number;
  InUse: boolean;
  CreatedAt: string;
  LastUsedAt: string;
  UsageCount: number;
}

const ID_DIGITS = 12;
const TABLE =
  "table {{.ID}}\\t{{.Name}}\\t{{.Size}}\\t{{.LastUsedSince}}\\t{{.UsageCount}}\\t{{.InUse}}";

const command: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List the folders of RUN --mount=type=cache",
  spellings: ["builder cache-mount ls", "builder cache-mount list"],
  args: { min: 0, max: 0 },
  flags: {
    format: { type: "string", usage: FORMAT_USAGE },
    quiet: { type: "bool", shorthand: "q", usage: "Print IDs only" },
  },
  async run(session, { values }) {
    const client = await session.client();
    const mounts = await client.json<CacheMount[]>("GET", "/gantry/cache-mounts");
    const byDefault = values.quiet ? "{{.ID}}" : TABLE;
    const format = ["", "table"].includes(values.format) ? byDefault : values.format;
    await printRows(session.io.stdout, mountRow, mounts, format);
    return 0;
  },
});
export default command;

const column = (header: string, value: (row: CacheMount) => unknown) => ({ header, value });
const since = (time: string): string => `${humanDuration(Date.now() - Date.parse(time))} ago`;
const mountRow: RowType<CacheMount> = {
  goType: "*formatter.cacheMountContext",
  columns: {
    ID: column("ID", ({ ID }) => ID.slice(0, ID_DIGITS)),
    Name: column("NAME", ({ Name }) => Name),
    Size: column("SIZE", ({ Size }) => humanSize(Size)),
    InUse: column("IN USE", ({ InUse }) => InUse),
    CreatedAt: column("CREATED AT", ({ CreatedAt }) => CreatedAt),
    CreatedSince: column("CREATED", ({ CreatedAt }) => since(CreatedAt)),
    LastUsedAt: column("LAST USED AT", ({ LastUsedAt }) => LastUsedAt),
    LastUsedSince: column("LAST USED", ({ LastUsedAt }) => since(LastUsedAt)),
    UsageCount: column("USAGE", ({ UsageCount }) => UsageCount),
  },
};
