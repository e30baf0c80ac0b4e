// Finds the command that the arguments name, reads its flags, runs it, and turns what went wrong
// into the words and exit codes that docker's users know: 1 in general, 125 where the flags or
// the daemon refused, the container's own code otherwise.

import {
  type Advice,
  adviceLines,
  adviceOf,
  type FlagSpecs,
  GantryError,
  messageOf,
  type ParsedFlags,
  parseFlags,
} from "../base/index.ts";
import type { Command } from "./command.ts";
import {
  type CommandEntry,
  type CommandGroup,
  GROUPS,
  isGroup,
  ROOT_COMMANDS,
} from "./commands/table.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";
import type { Io } from "./io.ts";
import { type Globals, PROGRAM, Session, type StartDaemon, VERSION } from "./session.ts";

const EXIT_USAGE = 125;
const EXIT_INTERRUPTED = 130;

export interface MainOptions {
  startDaemon?: StartDaemon;
}

/** Runs one call of the program; resolves with its exit code. */
export function main(io: Io, options: MainOptions = {}): Promise<number> {
  return runArguments(io, io.argv, options);
}

async function runArguments(
  io: Io,
  argv: readonly string[],
  { startDaemon }: MainOptions,
): Promise<number> {
  let globals: Globals;
  try {
    globals = parseFlags(GLOBAL_FLAGS, argv, { interspersed: false });
  } catch (error) {
    if (asksForHelp(error)) return showRootHelp(io);
    io.stderr.write(
      `${messageOf(error)}\n\nUsage:  ${PROGRAM} [OPTIONS] COMMAND [ARG...]\n\n` +
        `Run '${PROGRAM} --help' for more information\n`,
    );
    return EXIT_USAGE;
  }
  if (globals.values.version) {
    io.stdout.write(`Gantry version ${VERSION}\n`);
    return 0;
  }
  const session = new Session(io, globals, startDaemon);
  const [first, ...rest] = globals.args;
  if (first === undefined) return showRootHelp(io);
  if (first === "help") return runArguments(io, [...rest, "--help"], {});
  if (first === "__complete" || first === "__completeNoDesc") {
    const { complete } = await import("./complete/complete.ts");
    return complete(io, rest, { descriptions: first === "__complete" });
  }
  if (Object.hasOwn(ROOT_COMMANDS, first)) {
    return runCommand(session, first, ROOT_COMMANDS[first]!, rest);
  }
  if (isGroup(first)) return runGroup(session, first, GROUPS[first]!, rest);
  return runOther(session, argv, [first, ...rest]);
}

/** A plugin, or nothing that is known. */
async function runOther(
  session: Session,
  argv: readonly string[],
  words: string[],
): Promise<number> {
  const { io } = session;
  const name = words[0]!;
  const { refusalOf } = await import("./commands/refused.ts");
  const refusal = refusalOf(name);
  if (refusal !== undefined) {
    io.stderr.write(`${PROGRAM}: ${refusal}\n`);
    return 1;
  }
  try {
    const { runPlugin } = await import("./plugins/run.ts");
    const code = await runPlugin(session, name, argv);
    if (code !== undefined) return code;
  } catch (error) {
    return report(session, words.join(" "), error);
  }
  const { suggestWord } = await import("./suggest.ts");
  const known = [...Object.keys(ROOT_COMMANDS), ...Object.keys(GROUPS), "daemon", "registry"];
  io.stderr.write(
    `${PROGRAM}: unknown command: ${PROGRAM} ${name}\n${suggestWord(name, known)}\n` +
      `Run '${PROGRAM} --help' for more information\n`,
  );
  return 1;
}

/** Whether a call may end in another program, which a warm process cannot become. */
export function needsOwnProcess(argv: readonly string[]): boolean {
  try {
    const { args } = parseFlags(GLOBAL_FLAGS, argv, { interspersed: false });
    const name = args[0] === "help" ? args[1] : args[0];
    if (name === undefined || name.startsWith("__")) return false;
    return !Object.hasOwn(ROOT_COMMANDS, name) && !isGroup(name);
  } catch {
    return false;
  }
}

async function runGroup(
  session: Session,
  name: string,
  group: CommandGroup,
  rest: string[],
): Promise<number> {
  const { io } = session;
  const [verb, ...args] = group.flags ? groupFlagsLast(group.flags, rest) : rest;
  if (verb === undefined || verb === "--help" || verb === "-h" || verb === "help") {
    const { groupHelp } = await import("./help.ts");
    // As docker's: help that was not asked for is not output.
    const out = verb === undefined ? io.stderr : io.stdout;
    out.write(groupHelp(name, group));
    return 0;
  }
  const known = Object.hasOwn(group.aliases, verb) ? group.aliases[verb]! : verb;
  const inner = group.groups && Object.hasOwn(group.groups, known) && group.groups[known];
  const isCommand = Object.hasOwn(group.commands, known);
  if (inner && (!isCommand || Object.hasOwn(inner.commands, args[0] ?? ""))) {
    return runGroup(session, `${name} ${known}`, inner, args);
  }
  if (isCommand) {
    return runCommand(session, `${name} ${known}`, group.commands[known]!, args);
  }
  if (verb.startsWith("-")) {
    const shown = verb.startsWith("--")
      ? `unknown flag: ${verb}`
      : `unknown shorthand flag: '${verb[1]}' in ${verb}`;
    io.stderr.write(
      `${shown}\n\nUsage:  ${PROGRAM} ${name}\n\n` +
        `Run '${PROGRAM} ${name} --help' for more information\n`,
    );
    return EXIT_USAGE;
  }
  const { refusalOf } = await import("./commands/refused.ts");
  const refusal = refusalOf(`${name} ${verb}`);
  if (refusal !== undefined) {
    io.stderr.write(`${PROGRAM}: ${refusal}\n`);
    return 1;
  }
  const { suggestWord } = await import("./suggest.ts");
  const verbs = [...Object.keys(group.commands), ...Object.keys(group.groups ?? {})];
  io.stderr.write(
    `${PROGRAM}: unknown command: ${PROGRAM} ${name} ${verb}\n${suggestWord(verb, verbs)}\nUsage:  ${PROGRAM} ${name}\n\n` +
      `Run '${PROGRAM} ${name} --help' for more information\n`,
  );
  return 1;
}

/** `buildx --builder x ls` is `buildx ls --builder x`. */
function groupFlagsLast(specs: FlagSpecs, words: readonly string[]): string[] {
  let flags: ParsedFlags<FlagSpecs>;
  try {
    flags = parseFlags(specs, words, { interspersed: false });
  } catch {
    return [...words]; // what is wrong is said of the command's name
  }
  const [verb, ...rest] = flags.args;
  const given = words.slice(0, words.length - flags.args.length).filter((word) => word !== "--");
  return verb === undefined ? [] : [verb, ...given, ...rest];
}

async function runCommand(
  session: Session,
  path: string,
  entry: CommandEntry,
  argv: string[],
): Promise<number> {
  const { io } = session;
  const command = (await entry.load()) as Command;
  const usageLine = `${PROGRAM} ${path}${command.usage === "" ? "" : ` ${command.usage}`}`;
  let flags: ParsedFlags<FlagSpecs>;
  try {
    flags = parseFlags(command.flags, argv, { interspersed: !command.stopAtArgument });
  } catch (error) {
    if (asksForHelp(error)) return showCommandHelp(io, path, entry, command);
    const { suggestFlag } = await import("./suggest.ts");
    const hint = suggestFlag(messageOf(error), command.flags);
    io.stderr.write(
      `${messageOf(error)}\n${hint}\nUsage:  ${usageLine}\n\nRun '${PROGRAM} ${path} --help' for more information\n`,
    );
    return EXIT_USAGE;
  }
  if (flags.values["help"] === true) return showCommandHelp(io, path, entry, command);
  for (const notice of flags.notices) io.stderr.write(`${notice}\n`);
  const complaint = checkArguments(path, command, flags.args.length);
  if (complaint) {
    const see = command.args.max === undefined ? "See" : "Run";
    io.stderr.write(
      `${PROGRAM}: ${complaint}\n\nUsage:  ${usageLine}\n\n` +
        `${see} '${PROGRAM} ${path} --help' for more information\n`,
    );
    return 1;
  }
  try {
    const running = (async () => command.run(session, flags))();
    const code = await running.catch((error) => report(session, path, error));
    if (code) await showHints(session);
    return code ?? 0;
  } finally {
    const client = await session.openedClient?.catch(() => undefined);
    client?.close();
  }
}

function report(session: Session, path: string, error: unknown): number {
  const { io, globals } = session;
  if (error instanceof GantryError) {
    if (error.kind === "cancelled") return EXIT_INTERRUPTED;
    const { exitCode, help, partialOutput } = error.detail;
    // What a template had printed before it failed.
    if (typeof partialOutput === "string") io.stdout.write(`${partialOutput}\n`);
    const code = typeof exitCode === "number" ? exitCode : 1;
    const message = [error.message, ...adviceLines(adviceBehind(error) ?? {})].join("\n");
    if (help === true) {
      const see = `Run '${PROGRAM} ${path} --help' for more information`;
      session.warn(`${PROGRAM}: ${message}\n\n${see}`);
    } else if (error.message !== "") session.warn(message);
    return code;
  }
  const detail = globals.values.debug && error instanceof Error ? error.stack : undefined;
  session.warn(detail ?? messageOf(error));
  return 1;
}

/** An error that was given an exit code has its advice in what caused it. */
function adviceBehind(error: unknown): Advice | undefined {
  for (let one = error; one instanceof Error; one = one.cause) {
    const advice = adviceOf(one);
    if (advice) return advice;
  }
  return undefined;
}

/** What to do about what went wrong, where that is known. */
async function showHints(session: Session): Promise<void> {
  const { complaints, io } = session;
  if (complaints.length === 0) return;
  const [{ remedyFor }, { nearNames }] = await Promise.all([
    import("./remedies.ts"),
    import("./near-names.ts"),
  ]);
  for (const name of await nearNames(session, complaints)) {
    io.stderr.write(`Did you mean ${name}?\n`);
  }
  if (complaints.some((one) => one.includes("\nremedy: "))) return;
  const hints = new Set(complaints.map(remedyFor));
  for (const hint of hints) if (hint !== undefined) io.stderr.write(`remedy: ${hint}\n`);
}

function asksForHelp(error: unknown): boolean {
  return error instanceof GantryError && error.detail["help"] === true;
}

async function showRootHelp(io: Io): Promise<number> {
  const [{ rootHelp }, { rootEntries }] = await Promise.all([
    import("./help.ts"),
    import("./commands/table.ts"),
  ]);
  io.stdout.write(rootHelp(rootEntries(), GLOBAL_FLAGS, io.windowSize()?.columns));
  return 0;
}

async function showCommandHelp(
  io: Io,
  path: string,
  entry: CommandEntry,
  command: Command,
): Promise<number> {
  const [{ commandHelp }, { canonicalPath }, { EXAMPLES }] = await Promise.all([
    import("./help.ts"),
    import("./complete/locate.ts"),
    import("./examples/index.ts"),
  ]);
  const examples = EXAMPLES[canonicalPath(entry) ?? path] ?? [];
  const width = io.windowSize()?.columns;
  io.stdout.write(commandHelp(path, command, { examples, ...(width ? { width } : {}) }));
  return 0;
}

/** What is wrong with the number of arguments, in docker's words. */
function checkArguments(path: string, command: Command, given: number): string | undefined {
  const { min, max } = command.args;
  const name = `'${PROGRAM} ${path}'`;
  const plural = (count: number) => (count === 1 ? "argument" : "arguments");
  if (max === 0 && given > 0) return `${name} accepts no arguments`;
  if (min === max && given !== min) return `${name} requires ${min} ${plural(min)}`;
  if (given < min && max !== undefined) {
    return `${name} requires at least ${min} and at most ${max} ${plural(max)}`;
  }
  if (given < min) return `${name} requires at least ${min} ${plural(min)}`;
  if (max !== undefined && given > max) {
    return `${name} requires at most ${max} ${plural(max)}`;
  }
  return undefined;
}
