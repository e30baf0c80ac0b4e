import { type Command, defineCommand } from "../../command.ts";
import { showAnswer } from "./call.ts";
import { resultMetadata, writeMetadata } from "./metadata-file.ts";
import type { ProgressMode } from "./progress/display.ts";
import { BUILD_FLAGS } from "./request/flags.ts";
import { buildOptions } from "./request/options.ts";
import { imageIdOf, runBuild, writeResult } from "./run-build.ts";
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
      (shown) => {
        const named = (name: string) => {
          ref = name;
        };
        return runBuild(session, options, { ...shown, named });
      },
      options.debug
        ? async () => (await import("./debug-shell.ts")).openFailedStep(session, ref)
        : undefined,
    );
    if (options.call) return showAnswer(session, options.call, response);
    const id = imageIdOf(response);
    if (values.iidfile !== "" && id !== undefined) {
      await writeResult(session, values.iidfile, id);
    }
    if (values["metadata-file"] !== "") {
      const { own } = await resultMetadata(session, new Map([["own", { ref, response }]]));
      await writeMetadata(session, values["metadata-file"], own!);
    }
    if ((values.quiet || values.progress === "quiet") && id !== undefined) session.print(id);
    return 0;
  },
});
export default command;
