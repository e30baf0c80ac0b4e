import { GantryError } from "../../../base/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { ListStore } from "./list-store.ts";
import { shown } from "./shared.ts";

const command: Command = defineCommand({
  usage: "MANIFEST_LIST [MANIFEST_LIST...]",
  short: "Remove lists that have been begun here",
  args: { min: 1 },
  flags: {},
  async run(session, { args }) {
    const store = new ListStore(session);
    const missing: string[] = [];
    for (const text of args) {
      const list = parseReference(text);
      if (!(await store.remove(list))) missing.push(`No such manifest: ${shown(list)}`);
    }
    if (missing.length > 0) throw new GantryError("not-found", missing.join("\n"));
    return 0;
  },
});
export default command;
