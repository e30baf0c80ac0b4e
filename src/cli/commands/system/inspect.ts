import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { type InspectKind, inspectAll } from "../inspect-all.ts";

/** Looked through in this order where no type is given. */
const KINDS: readonly InspectKind[] = ["container", "image", "network", "volume"];
const TYPES: readonly InspectKind[] = [
  ...(["config", "container", "image", "network", "node", "plugin"] as const),
  ...(["secret", "service", "task", "volume"] as const),
];

const command: Command = defineCommand({
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  short: "Show details of containers, images and the rest",
  args: { min: 1 },
  flags: {
    format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE },
    size: { type: "bool", shorthand: "s", usage: "Show sizes of containers' file systems" },
    type: { type: "string", usage: "Only objects of this type" },
  },
  run(session, { values, args }) {
    const { type } = values;
    if (type !== "" && !TYPES.includes(type as InspectKind)) {
      const known = TYPES.map((kind) => JSON.stringify(kind)).join(", ");
      throw new GantryError(
        "invalid",
        `unknown type: ${JSON.stringify(type)}: must be one of ${known}`,
      );
    }
    const kinds = type === "" ? KINDS : [type as InspectKind];
    return inspectAll(session, args, values.format, kinds, { size: values.size });
  },
});
export default command;
