import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [NAME...]",
  short: "Remove builders: the daemon is the only one, and stays",
  args: { min: 0 },
  flags: {
    ...BUILDER_FLAGS,
    "all-inactive": { type: "bool", usage: "Remove all that are not running: there are none" },
    force: { type: "bool", shorthand: "f", usage: "Do not ask: nothing is asked" },
    "keep-daemon": { type: "bool", usage: "Leave the daemon running: it is, in any case" },
    "keep-state": { type: "bool", usage: "Keep the cache: it is kept in any case" },
  },
  run(_session, { values, args }) {
    const names = args.length > 0 ? args : [values.builder];
    if (values["all-inactive"]) {
      if (args.length > 0 || values.builder !== "") {
        throw new GantryError("invalid", "cannot specify builder name when --all-inactive is set");
      }
      return Promise.resolve(0);
    }
    for (const name of names) checkBuilder(name);
    throw new GantryError(
      "invalid",
      "context builder cannot be removed: it is the daemon's; " +
        "`gantry buildx prune` frees what its cache takes",
    );
  },
});
export default command;
