import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { type ImageSummary, imageLines, imageRow, imageTable } from "../../format/image.ts";
import { imageTree } from "../../format/image-tree.ts";
import { paintFor } from "../../format/style.ts";
import { printRows } from "../../format/table.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  short: "List images",
  spellings: ["image ls", "image list", "images"],
  args: { min: 0, max: 1 },
  flags: {
    all: { type: "bool", shorthand: "a", usage: "Show intermediate images too" },
    digests: { type: "bool", usage: "Show digests" },
    filter: filterFlag("Show only what matches NAME=VALUE", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    "no-trunc": { type: "bool", usage: "Show ids whole" },
    quiet: { type: "bool", shorthand: "q", usage: "Print ids only" },
    tree: { type: "bool", usage: "Show the platforms of each image beneath it" },
  },
  async run(session, { values, args }) {
    const filters = { ...values.filter };
    if (args[0]) filters["reference"] = [...(filters["reference"] ?? []), args[0]];
    if (values.tree) checkTree(values);
    const client = await session.client();
    const images = await client.json<ImageSummary[]>("GET", "/images/json", {
      query: {
        all: values.all || undefined,
        filters: encodeFilters(filters),
        manifests: values.tree || undefined,
      },
    });
    const newestFirst = [...images].sort((a, b) => b.Created - a.Created);
    if (values.tree) {
      for (const line of imageTree(newestFirst, paintFor(session.io.stdout))) session.print(line);
      return 0;
    }
    const configured = session.config.imagesFormat;
    let format = values.format || (configured && !values.quiet ? configured : "table");
    if (format === "table") format = values.quiet ? "{{.ID}}" : imageTable(values.digests);
    else if (format === "raw" && values.quiet) format = "image_id: {{.ID}}";
    else if (format === "raw") {
      const digest = values.digests ? "digest: {{.Digest}}\\n" : "";
      format = `repository: {{.Repository}}\\ntag: {{.Tag}}\\n${digest}image_id: {{.ID}}\\ncreated_at: {{.CreatedAt}}\\nvirtual_size: {{.Size}}\\n`;
    }
    const digests = values.digests || /\.Digest\b/.test(format);
    const lines = imageLines(newestFirst, digests);
    // One line an image is enough when only ids are printed.
    await printRows(session.io.stdout, imageRow(!values["no-trunc"]), lines, format);
    return 0;
  },
});
export default command;

/** Docker's tree takes none of them either. */
function checkTree(values: Record<"quiet" | "no-trunc" | "digests", boolean> & { format: string }) {
  const refused = {
    quiet: values.quiet,
    "show-digest": values.digests,
    "no-trunc": values["no-trunc"],
    format: values.format !== "",
  };
  for (const [flag, isGiven] of Object.entries(refused)) {
    if (isGiven) {
      throw new GantryError("not-implemented", `--${flag} is not yet supported with --tree`);
    }
  }
}
