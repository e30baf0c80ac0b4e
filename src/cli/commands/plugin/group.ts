// `plugin`: there are no managed plugins, so the list is empty, and what would make one is refused
// by the daemon with the reason. The verbs are one file: each is a request and little else.

import type { CommandEntry, CommandGroup } from "../table.ts";

type Verbs = Awaited<typeof import("./verbs.ts")>;

const verb = (short: string, name: keyof Verbs): CommandEntry => ({
  short,
  load: async () => (await import("./verbs.ts"))[name],
});

export const pluginGroup: CommandGroup = {
  short: "Manage plugins",
  commands: {
    create: verb("Make a plugin of a folder", "create"),
    disable: verb("Disable a plugin", "disable"),
    enable: verb("Enable a plugin", "enable"),
    inspect: verb("Show details of plugins", "inspect"),
    install: verb("Install a plugin", "install"),
    ls: verb("List plugins", "ls"),
    push: verb("Upload a plugin to a registry", "push"),
    rm: verb("Remove plugins", "rm"),
    set: verb("Change settings of a plugin", "set"),
    upgrade: verb("Upgrade a plugin", "upgrade"),
  },
  aliases: { list: "ls", remove: "rm" },
};
