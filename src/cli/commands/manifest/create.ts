import { GantryError } from "../../../base/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { ListStore } from "./list-store.ts";
import { INSECURE_USAGE, imageEntry, shown } from "./shared.ts";

const command: Command = defineCommand({
  usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  short: "Begin a list of images that one name shall stand for",
  args: { min: 2 },
  flags: {
    amend: { type: "bool", shorthand: "a", usage: "Add to a list that has been begun" },
    insecure: { type: "bool", usage: INSECURE_USAGE },
  },
  async run(session, { values: { amend, insecure }, args }) {
    const [list, ...images] = args.map((text) => parseReference(text));
    const store = new ListStore(session);
    if (!amend && (await store.entries(list!)) !== undefined) {
      throw new GantryError(
        "conflict",
        "refusing to amend an existing manifest list with no --amend flag",
      );
    }
    for (const image of images) {
      const entry = await imageEntry(session, image, insecure);
      if (entry === undefined) {
        throw new GantryError("invalid", `${shown(image)} is a manifest list`);
      }
      await store.save(list!, image, entry);
    }
    session.print(`Created manifest list ${shown(list!)}`);
    return 0;
  },
});
export default command;
