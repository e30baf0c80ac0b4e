// One call of gantry-runtime: global flags, a command, errors as runc tells them.

import { resolve } from "node:path";
import { getSystemErrorMessage } from "node:util";
import { GantryError, messageOf } from "../base/index.ts";
import { type KernelFeatures, probeKernel } from "../runtime/index.ts";
import type { CallIo } from "../warm/index.ts";
import { Caller } from "./caller.ts";
import type { Command } from "./command.ts";
import { commands } from "./commands.ts";
import { type FlagTable, type FlagValues, parseRuncFlags, UsageError } from "./flags.ts";
import { commandHelp, programHelp } from "./help.ts";
import { Log } from "./log.ts";
import { StateFolder } from "./state-folder.ts";
import { NAME, versionText } from "./version.ts";

const HELP = { kind: "bool", short: "h", about: "show this text" } as const;
const GLOBAL: FlagTable = {
  debug: { kind: "bool", about: "log what is done" },
  log: { kind: "string", about: "file of the log (default: /dev/stderr)" },
  "log-format": { kind: "string", about: "text or json (default: text)" },
  root: { kind: "string", about: "folder of all state (default: /run/gantry-runtime)" },
  criu: { kind: "string", about: "path of the criu program (default: criu)", hidden: true },
  "systemd-cgroup": {
    kind: "bool",
    about: "cgroups are made by systemd: cgroupsPath is slice:prefix:name",
  },
  rootless: { kind: "string", about: "false or auto: true is refused (default: auto)" },
  help: HELP,
  version: { kind: "bool", short: "v", about: "print the version" },
};
const ROOT = "/run/gantry-runtime";
const NO_TOPIC_CODE = 3;

let kernel: Promise<KernelFeatures> | undefined;

/** A failure with the exit code that it has. */
class Failure extends Error {
  readonly code: number;
  constructor(message: string, code: number, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Resolves with the exit code. */
export async function serve(io: CallIo): Promise<number> {
  const log = new Log(io);
  try {
    return await dispatch(io, log);
  } catch (error) {
    log.error(error instanceof Failure ? error.message : describe(error));
    return error instanceof Failure ? error.code : 1;
  } finally {
    await log.flush();
  }
}

async function dispatch(io: CallIo, log: Log): Promise<number> {
  const parse = (table: FlagTable, argv: readonly string[], help: () => string) => {
    try {
      return parseRuncFlags(table, argv);
    } catch (error) {
      if (error instanceof UsageError) {
        io.stdout.write(`Incorrect Usage: ${error.message}\n\n${help()}`);
      }
      throw error;
    }
  };
  const overview = () => programHelp(commands, GLOBAL);
  const { values, args } = parse(GLOBAL, io.argv, overview);
  const [name = "help", ...rest] = args;
  if (values.flag("version")) return print(io, versionText());
  await log.configure({
    path: values.text("log"),
    format: values.text("log-format"),
    debug: values.flag("debug"),
  });
  if (values.flag("help")) return print(io, overview());
  if (name === "help" || name === "h") return help(io, rest[0]);
  checkGlobal(values);
  const command = commandOf(name);
  const parsed = parse(command.flags, rest, () => commandHelp(name, command));
  if (parsed.values.flag("help")) return print(io, commandHelp(name, command));
  checkArguments(io, name, command, parsed.args);
  log.debug(`command: ${[name, ...rest].join(" ")}`);
  kernel ??= probeKernel();
  const context = {
    caller: new Caller(io),
    folder: new StateFolder(resolve(io.cwd, values.text("root") || ROOT)),
    kernel: await kernel,
    ...{ log, criu: values.text("criu") || "criu" },
    systemdCgroup: values.flag("systemd-cgroup"),
  };
  try {
    return await command.run(context, parsed.args, parsed.values);
  } catch (error) {
    const prefix = command.failure === undefined ? "" : `${prefixOf(name, command.failure)}: `;
    throw new Failure(`${prefix}${describe(error)}`, command.failureCode ?? 1, error);
  }
}

/** As runc: what makes containers names the program, exec does not. */
const prefixOf = (name: string, failure: string) =>
  name === "exec" ? failure : `${NAME} ${failure}`;

function print(io: CallIo, text: string): number {
  io.stdout.write(text);
  return 0;
}

function help(io: CallIo, topic: string | undefined): number {
  if (topic === undefined) return print(io, programHelp(commands, GLOBAL));
  return print(io, commandHelp(topic, commandOf(topic)));
}

function commandOf(name: string): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command) return { ...command, flags: { ...command.flags, help: HELP } };
  throw new Failure(`No help topic for '${name}'`, NO_TOPIC_CODE);
}

function checkGlobal(values: FlagValues): void {
  const rootless = values.text("rootless") || "auto";
  if (rootless === "true") {
    throw new GantryError(
      "not-implemented",
      "--rootless=true is not supported: containers are made by root, in user namespaces if " +
        "their configuration says so",
    );
  }
  if (rootless !== "auto" && rootless !== "false") {
    throw new GantryError("invalid", `invalid value ${JSON.stringify(rootless)} for --rootless`);
  }
}

function checkArguments(io: CallIo, name: string, command: Command, args: readonly string[]): void {
  const [least, most] = command.args;
  if (args.length >= least && args.length <= most) return;
  io.stdout.write(`Incorrect Usage.\n\n${commandHelp(name, command)}`);
  const bound = args.length < least ? least : most;
  const kind = least === most ? "exactly" : args.length < least ? "a minimum of" : "a maximum of";
  throw new GantryError(
    "invalid",
    `${NAME}: ${JSON.stringify(name)} requires ${kind} ${bound} argument(s)`,
  );
}

interface PlanFailure {
  half?: string;
  operation?: { op: string };
  text?: string;
  number?: number;
}

/** The native program's failures in runc's words: what failed, then what the kernel said. */
function describe(error: unknown): string {
  const detail = error instanceof GantryError ? (error.detail as PlanFailure) : {};
  const { half, operation, text = "", number = 0 } = detail;
  if (half !== "container" && half !== "host") return messageOf(error);
  // These say it all.
  const isWhole = text.startsWith("exec") || operation?.op === "runHook";
  const what = text || `Failed to ${operation?.op ?? "run a plan"}`;
  const why = isWhole || number <= 0 ? "" : `: ${getSystemErrorMessage(-number)}`;
  return `unable to start container process: ${what}${why}`;
}
