import { type Command, defineCommand } from "../../command.ts";
import { showProgress } from "../../streams/progress.ts";
import { imagePath } from "../image-path.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] DISTRIBUTION:SUITE",
  short: "Make a base image of the host's package sources",
  long:
    "Make a base image of the host's package sources, without a registry: debian:bookworm, " +
    "ubuntu:noble. The host's apt fetches and verifies the packages; their scripts run inside a " +
    "container.",
  args: { min: 1, max: 1 },
  flags: {
    include: { type: "stringSlice", usage: "Further packages" },
    mirror: { type: "string", usage: "Fetch from this mirror, not from the host's" },
    quiet: { type: "bool", shorthand: "q", usage: "Print only the image's id" },
    tag: {
      type: "string",
      shorthand: "t",
      usage: "Name of the image (default DISTRIBUTION:SUITE)",
    },
    variant: {
      type: "string",
      default: "minbase",
      usage: "Which packages: minbase, essential, apt, important, standard or buildd",
    },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    const { body } = await client.call("POST", "/gantry/images/bootstrap", {
      query: {
        image: args[0]!,
        tag: values.tag || undefined,
        variant: values.variant,
        mirror: values.mirror || undefined,
        include: values.include.length > 0 ? values.include : undefined,
      },
      signal: session.io.signal,
    });
    await showProgress(session.io.stdout, body, { quiet: values.quiet });
    if (values.quiet) {
      const name = imagePath(values.tag || args[0]!);
      session.print((await client.json<{ Id: string }>("GET", `${name}/json`)).Id);
    }
    return 0;
  },
});
export default command;
