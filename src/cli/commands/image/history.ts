import { humanSize } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { ago, ellipsis, goTime, shortId } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";
import { imagePath } from "../image-path.ts";
import { platformJson } from "./load.ts";

interface Layer {
  Id: string;
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}
const tableOf = (human: boolean) =>
  `table {{.ID}}\\t{{.${human ? "CreatedSince" : "CreatedAt"}}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}`;
const CREATED_BY_COLUMNS = 45;

const command: Command = defineCommand({
  usage: "[OPTIONS] IMAGE",
  short: "Show how an image was made",
  spellings: ["image history", "history"],
  args: { min: 1, max: 1 },
  flags: {
    format: { type: "string", usage: FORMAT_USAGE },
    human: {
      type: "bool",
      shorthand: "H",
      default: true,
      usage: "Print sizes and dates for people",
    },
    "no-trunc": { type: "bool", usage: "Show ids and texts whole" },
    platform: { type: "string", usage: "Platform, where the image has several" },
    quiet: { type: "bool", shorthand: "q", usage: "Print ids only" },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    const layers = await client.json<Layer[]>("GET", `${imagePath(args[0]!)}/history`, {
      query: { platform: values.platform ? platformJson(values.platform) : undefined },
    });
    const format = values.format || "table";
    const shown = format === "table" ? (values.quiet ? "{{.ID}}" : tableOf(values.human)) : format;
    await printRows(session.io.stdout, row(!values["no-trunc"], values.human), layers, shown);
    return 0;
  },
});
export default command;

function row(truncate: boolean, human: boolean): RowType<Layer> {
  const column = (header: string, value: (layer: Layer) => unknown) => ({ header, value });
  const date = ({ Created }: Layer) => goDate(Created);
  return {
    goType: "*image.historyContext",
    columns: {
      ID: column("IMAGE", ({ Id }) => (truncate ? shortId(Id) : Id)),
      CreatedSince: column("CREATED", (layer) => {
        if (!human) return date(layer);
        return layer.Created <= -62135596800 ? "N/A" : ago(layer.Created);
      }),
      CreatedAt: column("CREATED AT", date),
      CreatedBy: column("CREATED BY", ({ CreatedBy }) => {
        const text = CreatedBy.replaceAll("\t", " ");
        return truncate ? ellipsis(text, CREATED_BY_COLUMNS) : text;
      }),
      Size: column("SIZE", ({ Size }) => (human ? humanSize(Size, 3) : String(Size))),
      Comment: column("COMMENT", ({ Comment }) => Comment),
    },
  };
}

/** RFC 3339 in the caller's zone. */
function goDate(seconds: number): string {
  const [day, time, zone = ""] = goTime(seconds).split(" ");
  return `${day}T${time}${zone === "+0000" ? "Z" : `${zone.slice(0, 3)}:${zone.slice(3)}`}`;
}
