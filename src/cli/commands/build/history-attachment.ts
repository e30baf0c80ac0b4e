import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import { findRecord, readHistory } from "./history-records.ts";
import { type Statement, statementsOf } from "./statements.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [REF [DIGEST]]",
  short: "Show how a build was made",
  args: { min: 0, max: 2 },
  flags: {
    ...BUILDER_FLAGS,
    platform: { type: "string", usage: "Of the image for this platform" },
    type: { type: "string", usage: 'Which kind ("provenance", or the type of a predicate)' },
  },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    const { signal, stdout } = session.io;
    const [name = "", digest] = args;
    const { platform, type } = values;
    if (digest === undefined && platform === "" && type === "") {
      const message = "at least one of --type, --platform or DIGEST must be specified";
      throw new GantryError("invalid", message);
    }
    using builder = await openBuilder(session);
    const record = findRecord(await readHistory(builder, { signal }), name);
    const found =
      digest ??
      statementsOf(record).find(
        (one) => (platform === "" || one.platform === platform) && isOfType(one, type),
      )?.digest;
    if (found === undefined) {
      throw new GantryError("not-found", `no matching attachment found for ref "${name}"`);
    }
    for await (const bytes of builder.content(found, { signal })) stdout.write(bytes);
    return 0;
  },
});
export default command;

function isOfType({ predicateType }: Statement, type: string): boolean {
  if (type === "provenance") return predicateType.startsWith("https://slsa.dev/provenance/");
  return type === "" || type === predicateType;
}
