// One call of gantry-runtime: global flags, a command, errors as runc tells them.

import { appendFile } from "node:fs/promises";
import { resolve } from "node:path";
import { GantryError, messageOf } from "../base/index.ts";
import { type KernelFeatures, probeKernel } from "../runtime/index.ts";
import type { CallIo } from "../warm/index.ts";
import { Caller } from "./caller.ts";
import { commands } from "./commands.ts";
import { type FlagTable, type FlagValues, parseRuncFlags } from "./flags.ts";
import { StateFolder } from "./state-folder.ts";

const GLOBAL: FlagTable = {
  debug: "bool",
  log: "string",
  "log-format": "string",
  root: "string",
  "systemd-cgroup": "bool",
  rootless: "string",
  help: "bool",
  version: "bool",
};
const ROOT = "/run/gantry-runtime";
const SPEC_VERSION = "1.3.0";

let kernel: Promise<KernelFeatures> | undefined;

/** Resolves with the exit code. */
export async function serve(io: CallIo): Promise<number> {
  let log: FlagValues = {};
  try {
    const { values, args } = parseRuncFlags(GLOBAL, io.argv);
    log = values;
    return await dispatch(io, values, args);
  } catch (error) {
    await report(io, log, describe(error));
    return 1;
  }
}

async function dispatch(io: CallIo, values: FlagValues, args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (values["version"]) {
    io.stdout.write(`gantry-runtime version ${version()}\nspec: ${SPEC_VERSION}\n`);
    return 0;
  }
  if (name === undefined || name === "help" || values["help"]) {
    io.stdout.write(usage());
    return 0;
  }
  if (values["systemd-cgroup"]) {
    throw new GantryError(
      "not-implemented",
      "--systemd-cgroup is not supported yet: use cgroupfs (containerd: SystemdCgroup = false)",
    );
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new GantryError("invalid", `No help topic for '${name}'`);
  const parsed = parseRuncFlags(command.flags, rest, command.short);
  const [least, most] = command.args;
  if (parsed.args.length < least || parsed.args.length > most) {
    const wanted = least === most ? `exactly ${least}` : `a minimum of ${least}`;
    throw new GantryError(
      "invalid",
      `${name}: ${JSON.stringify(name)} requires ${wanted} argument(s)`,
    );
  }
  kernel ??= probeKernel();
  const root = resolve(io.cwd, (values["root"] as string | undefined) ?? ROOT);
  const context = { caller: new Caller(io), folder: new StateFolder(root), kernel: await kernel };
  return await command.run(context, parsed.args, parsed.values);
}

const version = () => process.env["GANTRY_VERSION"] ?? "dev";

/** The native program's failures in runc's words: what failed in the container comes bare. */
function describe(error: unknown): string {
  const detail = error instanceof GantryError ? error.detail : undefined;
  const failure = detail as { half?: string; text?: string; errno?: string } | undefined;
  if (failure?.half === "container" || failure?.half === "host") {
    const text = failure.text?.startsWith("exec") ? failure.text : messageOf(error);
    return `unable to start container process: ${text}`;
  }
  return messageOf(error);
}

async function report(io: CallIo, flags: FlagValues, message: string): Promise<void> {
  const path = flags["log"] as string | undefined;
  const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const text =
    flags["log-format"] === "json"
      ? JSON.stringify({ level: "error", msg: message, time })
      : `time="${time}" level=error msg=${JSON.stringify(message)}`;
  if (path && path !== "/dev/stderr") {
    await appendFile(resolve(io.cwd, path), `${text}\n`).catch(() => {});
    io.stderr.write(`${message}\n`);
  } else {
    io.stderr.write(`${text}\n`);
  }
}

function usage(): string {
  const lines = Object.entries(commands).map(([name, command]) =>
    `   ${name} ${command.usage}`.trimEnd(),
  );
  return `NAME:
   gantry-runtime - an OCI runtime

USAGE:
   gantry-runtime [global options] command [command options] [arguments...]

COMMANDS:
${lines.join("\n")}

GLOBAL OPTIONS:
   --debug --log FILE --log-format text|json --root FOLDER --rootless true|false|auto --version
`;
}
