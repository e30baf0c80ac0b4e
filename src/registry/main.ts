// `gantry registry …`: a program of its own that needs no daemon. Each verb is loaded when it is
// called, so that help and a wrong flag answer at once.

import {
  type FlagSpecs,
  GantryError,
  messageOf,
  type ParsedFlags,
  parseFlags,
} from "../base/index.ts";

export interface Verb<S extends FlagSpecs = FlagSpecs> {
  usage: string;
  short: string;
  flags: S;
  arguments: { min: number; max: number };
  run(flags: ParsedFlags<S>): Promise<number>;
}

const VERBS: Readonly<Record<string, { short: string; load: () => Promise<unknown> }>> = {
  gc: {
    short: "Remove what nothing refers to",
    load: async () => (await import("./verb-gc.ts")).verb,
  },
  htpasswd: {
    short: "Make a line of a password file",
    load: async () => (await import("./verb-htpasswd.ts")).verb,
  },
  serve: {
    short: "Serve images",
    load: async () => (await import("./verb-serve.ts")).verb,
  },
};
const EXIT_USAGE = 125;

/** Runs one verb; returns the exit code. Never throws. */
export async function runRegistry(argv: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = argv;
  if (name === "--help" || name === "-h" || name === "help") return say(help());
  if (!Object.hasOwn(VERBS, name)) {
    return refuse(`gantry: unknown command: gantry registry ${name}`, "registry", 1);
  }
  const verb = (await VERBS[name]!.load()) as Verb;
  const see = `registry ${name}`;
  let flags: ParsedFlags<FlagSpecs>;
  try {
    flags = parseFlags(verb.flags, rest);
  } catch (error) {
    const wantsHelp = error instanceof GantryError && error.detail["help"] === true;
    return wantsHelp ? say(verbHelp(name, verb)) : refuse(messageOf(error), see, EXIT_USAGE);
  }
  const { min, max } = verb.arguments;
  if (flags.args.length < min || flags.args.length > max) {
    const wanted = max === 0 ? "no arguments" : `${max} argument${max === 1 ? "" : "s"}`;
    return refuse(`gantry: 'gantry registry ${name}' takes ${wanted}`, see, 1);
  }
  for (const notice of flags.notices) process.stderr.write(`${notice}\n`);
  try {
    return await verb.run(flags);
  } catch (error) {
    process.stderr.write(`gantry registry: ${messageOf(error)}\n`);
    return 1;
  }
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

function refuse(message: string, see: string, code: number): number {
  process.stderr.write(`${message}\n\nRun 'gantry ${see} --help' for more information\n`);
  return code;
}

function help(): string {
  const rows = Object.entries(VERBS).map(([name, { short }]) => `  ${name.padEnd(10)}${short}\n`);
  return (
    "Usage:  gantry registry COMMAND\n\nRun a registry of images\n\n" +
    `Commands:\n${rows.join("")}\n` +
    "Run 'gantry registry COMMAND --help' for more information on a command.\n"
  );
}

function verbHelp(name: string, verb: Verb): string {
  const rows = Object.entries(verb.flags).map(([long, { type, usage = "", valueName }]) => {
    const value = valueName ?? (type === "bool" ? "" : "string");
    return [`  --${long}${value === "" ? "" : ` ${value}`}`, usage] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  const options = rows.map(([left, right]) => `${left.padEnd(width)}${right}\n`).join("");
  return `Usage:  gantry registry ${name} ${verb.usage}\n\n${verb.short}\n\nOptions:\n${options}`;
}
