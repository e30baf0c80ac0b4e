import { type Command, defineCommand } from "../../command.ts";
import type { Session } from "../../session.ts";
import { showAnswer } from "./call.ts";
import type { ProgressMode } from "./progress/display.ts";
import { BUILD_FLAGS } from "./request/flags.ts";
import { buildOptions } from "./request/options.ts";
import { imageIdOf, metadataOf, runBuild, writeMetadata, writeResult } from "./run-build.ts";
import { showing } from "./show.ts";

const command: Command<typeof BUILD_FLAGS> = defineCommand({
  usage: "[OPTIONS] PATH | URL | -",
  short: "Build an image from a Dockerfile",
  spellings: ["build", "image build", "builder build", "buildx build"],
  args: { min: 1, max: 1 },
  flags: BUILD_FLAGS,
  async run(session, { values, args }) {
    const { options, warnings } = buildOptions(values, args[0]!, session.io.env);
    for (const warning of warnings) session.warn(warning);
    const mode = values.quiet || options.call ? "quiet" : (values.progress as ProgressMode);
    let ref = "";
    const { response } = await showing(
      session,
      mode,
      (shown) => runBuild(session, options, { ...shown, named: (name) => (ref = name) }),
      options.debug ? () => debugShell(session, ref) : undefined,
    );
    if (options.call) return showAnswer(session, options.call, response);
    const id = imageIdOf(response);
    if (values.iidfile !== "" && id !== undefined) {
      await writeResult(session, values.iidfile, id);
    }
    if (values["metadata-file"] !== "") {
      const metadata = { ...metadataOf(response), "buildx.build.ref": `default/default/${ref}` };
      await writeMetadata(session, values["metadata-file"], metadata);
    }
    if ((values.quiet || values.progress === "quiet") && id !== undefined) session.print(id);
    return 0;
  },
});
export default command;

async function debugShell(session: Session, ref: string): Promise<void> {
  if (!session.io.stdin.isTerminal || !session.io.stdout.isTerminal) {
    session.warn("--debug opens a shell only on a terminal");
    return;
  }
  const { openFailedStep } = await import("./debug-shell.ts");
  await openFailedStep(session, ref);
}
