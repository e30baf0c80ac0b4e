// `gantry completion SHELL`: the script that a shell loads; what it asks is complete/complete.ts.

import { GantryError } from "../../base/index.ts";
import { type Command, defineCommand } from "../command.ts";
import { SHELL_SCRIPTS } from "../complete/scripts.ts";

const SHELLS = Object.keys(SHELL_SCRIPTS);

const command: Command = defineCommand({
  usage: `[${SHELLS.join("|")}]`,
  short: "Print the script that completes command lines in a shell",
  long:
    "Print the script that completes command lines in a shell: commands, flags and their values, " +
    "and the names of containers, images, networks, volumes and contexts as they are now.",
  args: { min: 1, max: 1 },
  flags: {
    "no-descriptions": { type: "bool", usage: "Offer words without what they mean" },
  },
  run(session, { values, args }) {
    const name = args[0]!;
    if (!Object.hasOwn(SHELL_SCRIPTS, name)) {
      const known = SHELLS.join(", ");
      throw new GantryError("invalid", `unknown shell ${JSON.stringify(name)}: one of ${known}`);
    }
    const script = SHELL_SCRIPTS[name]!;
    const text = values["no-descriptions"]
      ? script.replaceAll(" __complete ", " __completeNoDesc ")
      : script;
    session.io.stdout.write(text);
    return Promise.resolve(0);
  },
});
export default command;
