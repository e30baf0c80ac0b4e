import { type Command, defineCommand } from "../../command.ts";
import { openBuilder } from "./builder.ts";
import { BUILDER_FLAGS, checkBuilder } from "./checked-builder.ts";
import { platformTexts, versionText } from "./worker-facts.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [NAME]",
  short: "Show the builder",
  args: { min: 0, max: 1 },
  flags: {
    ...BUILDER_FLAGS,
    bootstrap: { type: "bool", usage: "Wait until the builder runs: the daemon does" },
  },
  async run(session, { values, args }) {
    checkBuilder(args[0] ?? values.builder);
    const { signal } = session.io;
    using builder = await openBuilder(session, values.timeout);
    const [workers, version] = await Promise.all([
      builder.workers({ signal }),
      builder.info({ signal }),
    ]);
    const lines: [string, string][] = [
      ["Name:", "default"],
      ["Driver:", "docker"],
      ["", ""],
      ["Nodes:", ""],
      ["Name:", "default"],
      ["Endpoint:", session.contextName],
      ["Status:", "running"],
      ["BuildKit version:", versionText(version)],
      ["Platforms:", platformTexts(workers).join(", ")],
    ];
    const labels = Object.entries(workers[0]?.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, value] of lines)
      session.print(name === "" ? "" : `${name.padEnd(17)} ${value}`.trimEnd());
    if (labels.length > 0) session.print("Labels:");
    for (const [name, value] of labels) session.print(` ${`${name}:`.padEnd(48)} ${value}`);
    return 0;
  },
});
export default command;
