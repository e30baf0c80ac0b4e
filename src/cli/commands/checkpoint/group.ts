// `checkpoint`: containers frozen to disk; `start --checkpoint` brings them back.

import type { CommandEntry, CommandGroup } from "../table.ts";

type Verbs = Awaited<typeof import("./verbs.ts")>;

const verb = (short: string, name: keyof Verbs): CommandEntry => ({
  short,
  load: async () => (await import("./verbs.ts"))[name],
});

export const checkpointGroup: CommandGroup = {
  short: "Manage checkpoints",
  commands: {
    create: verb("Freeze a running container to disk", "create"),
    ls: verb("List checkpoints of a container", "ls"),
    rm: verb("Remove a checkpoint", "rm"),
  },
  aliases: { list: "ls", remove: "rm" },
};
