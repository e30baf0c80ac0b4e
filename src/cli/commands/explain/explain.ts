import { GantryError, messageOf, type ParsedFlags, parseFlags } from "../../../base/index.ts";
import { type Command, defineCommand, exitError } from "../../command.ts";
import { paintFor } from "../../format/style.ts";
import { commandHelp } from "../../help.ts";
import { createBody, refusal, requestOf } from "../../run/create-container.ts";
import { RUN_FLAGS } from "../../run/flags.ts";
import type { Session } from "../../session.ts";
import { type Explained, explainText } from "./text.ts";

const EXPLAIN_FLAGS = {
  format: { type: "string", usage: 'Print JSON ("json")' },
  verbose: { type: "bool", usage: "Show every kernel operation, in order, with its number" },
} as const;
const EXPLAIN_RUN_FLAGS = { ...RUN_FLAGS, ...EXPLAIN_FLAGS };
const EXIT_USAGE = 125;
const EXIT_DIFFERS = 1;

interface Wanted {
  format: string;
  verbose: boolean;
}

const command: Command<typeof EXPLAIN_FLAGS> = defineCommand({
  usage: "[OPTIONS] CONTAINER | run [RUN-OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Say what a run would do, what a container really has, or why it ended",
  long:
    "With `run` and everything that `gantry run` takes, print step by step what would be done, " +
    "and start nothing. Of a running container print the same as the kernel has it now, and mark " +
    "what differs from what was asked for (the exit code is then 1). Of an ended one, say why.",
  args: { min: 1 },
  stopAtArgument: true,
  flags: EXPLAIN_FLAGS,
  examples: [
    "gantry explain run -m 64m --cap-drop ALL alpine sh",
    "gantry explain --verbose run alpine true",
    "gantry explain web",
    "gantry explain --format json web",
  ].join("\n"),
  async run(session, { values, args }) {
    const [first = "", ...rest] = args;
    if (first === "run" && rest.length > 0) return explainRun(session, values, rest);
    if (rest.length > 0) {
      throw exitError(1, "'gantry explain' takes one container, or run and its arguments", {
        help: true,
      });
    }
    checkFormat(values);
    const client = await session.client();
    const path = `/gantry/containers/${encodeURIComponent(first)}/explain`;
    const found = await client.json<Explained>("GET", path);
    show(session, values, found);
    const differs = found.sections.some(({ lines }) => lines.some((l) => l.mark === "differs"));
    return differs ? EXIT_DIFFERS : 0;
  },
});
export default command;

async function explainRun(session: Session, outer: Wanted, argv: string[]): Promise<number> {
  let flags: ParsedFlags<typeof EXPLAIN_RUN_FLAGS>;
  try {
    flags = parseFlags(EXPLAIN_RUN_FLAGS, argv, { interspersed: false });
  } catch (error) {
    if (error instanceof GantryError && error.detail["help"] === true) {
      session.print(commandHelp("explain", command as Command).trimEnd());
      return 0;
    }
    throw exitError(EXIT_USAGE, messageOf(error), { cause: error, help: true });
  }
  if (flags.args.length === 0) {
    throw exitError(1, "'gantry explain run' requires at least 1 argument", { help: true });
  }
  const wanted = {
    format: flags.values.format || outer.format,
    verbose: flags.values.verbose || outer.verbose,
  };
  checkFormat(wanted);
  try {
    const client = await session.client();
    await client.negotiate();
    const request = requestOf(session, flags);
    const { name, platform } = flags.values;
    const found = await client.json<Explained>("POST", "/gantry/explain/create", {
      query: { name: name || undefined, platform: platform || undefined },
      json: createBody(client, request),
    });
    show(session, wanted, found);
    return 0;
  } catch (error) {
    throw refusal(error);
  }
}

function checkFormat({ format }: Wanted): void {
  if (format === "" || format === "json") return;
  throw new GantryError("invalid", `unknown format ${JSON.stringify(format)}: want json`);
}

function show(session: Session, { format, verbose }: Wanted, found: Explained): void {
  if (format === "json") {
    const { operations, ...rest } = found;
    session.print(JSON.stringify(verbose ? { ...rest, operations } : rest));
    return;
  }
  const { stdout } = session.io;
  const columns = stdout.columns();
  session.print(explainText(found, { verbose, columns, paint: paintFor(stdout) }));
}
