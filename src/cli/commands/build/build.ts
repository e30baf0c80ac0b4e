import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import type { Session } from "../../session.ts";
import { showAnswer } from "./call.ts";
import { failedSteps, failureText, warningsText } from "./failure.ts";
import { openDisplay, type ProgressMode, resolvedMode } from "./progress/display.ts";
import { BUILD_FLAGS } from "./request/flags.ts";
import { type BuildOptions, buildOptions } from "./request/options.ts";
import {
  type BuildResult,
  imageIdOf,
  metadataOf,
  runBuild,
  untilSignalled,
  writeMetadata,
  writeResult,
} from "./run-build.ts";

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
    const { result } = await showBuild(session, options, { mode });
    if (options.call) return showAnswer(session, options.call, result.response);
    const id = imageIdOf(result.response);
    if (values.iidfile !== "" && id !== undefined) {
      await writeResult(session, values.iidfile, id);
    }
    if (values["metadata-file"] !== "") {
      const metadata = {
        ...metadataOf(result.response),
        "buildx.build.ref": `default/default/${result.ref}`,
      };
      await writeMetadata(session, values["metadata-file"], metadata);
    }
    if ((values.quiet || values.progress === "quiet") && id !== undefined) session.print(id);
    return 0;
  },
});
export default command;

/** Builds with a display; a failure is thrown with everything that belongs to its report. */
async function showBuild(
  session: Session,
  options: BuildOptions,
  { mode }: { mode: ProgressMode },
): Promise<{ result: BuildResult }> {
  const { io } = session;
  const shown = resolvedMode(io, mode);
  const { signal, stop } = untilSignalled(session);
  const display = await openDisplay(io, shown);
  let ref = "";
  try {
    const result = await runBuild(session, options, {
      ...{ display, signal },
      named: (name) => {
        ref = name;
      },
    });
    display.finish();
    if (shown === "tty" || shown === "plain") {
      io.stderr.write(
        warningsText(display.trace, { expanded: session.globals.values.debug === true }),
      );
    }
    return { result };
  } catch (error) {
    display.finish();
    if (shown !== "rawjson") io.stderr.write(failedSteps(display.trace));
    if (signal.aborted) throw cancelled(io.stderr, error);
    if (!(error instanceof GantryError) || error.detail["grpcCode"] === undefined) throw error;
    io.stderr.write(failureText(error));
    if (options.debug) await debugShell(session, ref);
    throw new GantryError("internal", "", { cause: error });
  } finally {
    stop();
  }
}

function cancelled(out: { write(text: string): void }, cause: unknown): GantryError {
  out.write("ERROR: failed to build: failed to solve: Canceled: context canceled\n");
  return new GantryError("cancelled", "context canceled", { cause });
}

async function debugShell(session: Session, ref: string): Promise<void> {
  if (!session.io.stdin.isTerminal || !session.io.stdout.isTerminal) {
    session.warn("--debug opens a shell only on a terminal");
    return;
  }
  const { openFailedStep } = await import("./debug-shell.ts");
  await openFailedStep(session, ref);
}
