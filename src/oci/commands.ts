// The commands of gantry-runtime: those of runc, with its flags, its answers and its errors.

import { GantryError } from "../base/index.ts";
import { type KernelFeatures, planFreeze } from "../runtime/index.ts";
import type { Caller } from "./caller.ts";
import { type CreateOptions, create, run, start } from "./create.ts";
import { destroy } from "./destroy.ts";
import { exec } from "./exec.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { listContainers, listProcesses } from "./list.ts";
import { shownState } from "./public-state.ts";
import { signalNumber } from "./signals.ts";
import type { StateFolder } from "./state-folder.ts";
import { statusOf } from "./status.ts";

export interface CommandContext {
  caller: Caller;
  folder: StateFolder;
  kernel: KernelFeatures;
}

export interface Command {
  flags: FlagTable;
  /** What a letter means here where it is not what it means elsewhere. */
  short?: Readonly<Record<string, string>>;
  /** Number of arguments, at least and at most. */
  args: [number, number];
  usage: string;
  run(context: CommandContext, args: readonly string[], flags: FlagValues): Promise<number>;
}

const CREATE_FLAGS = {
  bundle: "string",
  "console-socket": "string",
  "pidfd-socket": "string",
  "pid-file": "string",
  "no-pivot": "bool",
  "no-new-keyring": "bool",
  "preserve-fds": "int",
} as const satisfies FlagTable;

function createOptions(flags: FlagValues, foreground: boolean): CreateOptions {
  if (flags["pidfd-socket"]) {
    throw new GantryError("not-implemented", "--pidfd-socket is not supported yet");
  }
  const text = (name: string) => (flags[name] as string | undefined) ?? "";
  return {
    bundle: text("bundle"),
    consoleSocket: text("console-socket"),
    pidFile: text("pid-file"),
    preserveFds: (flags["preserve-fds"] as number | undefined) ?? 0,
    noNewKeyring: flags["no-new-keyring"] === true,
    noPivot: flags["no-pivot"] === true,
    foreground,
  };
}

async function freeze(context: CommandContext, id: string, frozen: boolean): Promise<number> {
  const { caller, folder } = context;
  const state = await folder.read(id);
  const status = await statusOf(folder, state);
  if (frozen && status !== "running" && status !== "created") {
    throw new GantryError("conflict", `container not running or created: ${status}`);
  }
  if (!frozen && status !== "paused") throw new GantryError("conflict", "container not paused");
  await caller.run({ host: planFreeze(state.cgroupPaths, frozen) });
  return 0;
}

export const commands: Readonly<Record<string, Command>> = {
  create: {
    flags: CREATE_FLAGS,
    args: [1, 1],
    usage: "<container-id>",
    async run(context, [id], flags) {
      await create(context, id!, createOptions(flags, false));
      return 0;
    },
  },
  start: {
    flags: {},
    args: [1, 1],
    usage: "<container-id>",
    async run(context, [id]) {
      await start(context, id!);
      return 0;
    },
  },
  run: {
    flags: { ...CREATE_FLAGS, detach: "bool", keep: "bool", "no-subreaper": "bool" },
    args: [1, 1],
    usage: "<container-id>",
    async run(context, [id], flags) {
      const options = createOptions(flags, flags["detach"] !== true);
      return await run(context, id!, { ...options, keep: flags["keep"] === true });
    },
  },
  state: {
    flags: {},
    args: [1, 1],
    usage: "<container-id>",
    async run({ caller, folder }, [id]) {
      const state = await folder.read(id!);
      const shown = shownState(state, await statusOf(folder, state));
      caller.io.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
      return 0;
    },
  },
  kill: {
    flags: { all: "bool" },
    args: [1, 2],
    usage: "<container-id> [signal]",
    async run({ caller, folder }, [id, name = "SIGTERM"], flags) {
      const state = await folder.read(id!);
      const signal = signalNumber(name);
      if (flags["all"] === true) {
        const path = state.cgroupPaths[""] ?? Object.values(state.cgroupPaths)[0];
        if (path) await caller.run({ host: [{ op: "killCgroup", path, signal, missingOk: true }] });
        return 0;
      }
      if ((await statusOf(folder, state)) === "stopped") {
        throw new GantryError("conflict", "container not running");
      }
      const { pid } = state;
      await caller.run({
        host: [
          { op: "pidfdOpen", pid, to: 0 },
          { op: "kill", slot: 0, signal },
        ],
      });
      return 0;
    },
  },
  delete: {
    flags: { force: "bool" },
    args: [1, 1],
    usage: "<container-id>",
    async run({ caller, folder }, [id], flags) {
      const force = flags["force"] === true;
      try {
        await destroy({ caller, folder }, await folder.read(id!), { force });
      } catch (error) {
        if (!(force && error instanceof GantryError && error.kind === "not-found")) throw error;
        await folder.remove(id!);
      }
      return 0;
    },
  },
  exec: {
    flags: {
      "console-socket": "string",
      "pidfd-socket": "string",
      cwd: "string",
      env: "list",
      tty: "bool",
      user: "string",
      "additional-gids": "list",
      process: "string",
      detach: "bool",
      "pid-file": "string",
      "process-label": "string",
      apparmor: "string",
      "no-new-privs": "bool",
      cap: "list",
      "preserve-fds": "int",
      cgroup: "list",
      "ignore-paused": "bool",
    },
    args: [1, Number.POSITIVE_INFINITY],
    usage: "<container-id> <command> [command options]",
    async run(context, [id, ...command], flags) {
      for (const name of ["pidfd-socket", "cgroup"]) {
        if (flags[name] !== undefined) {
          throw new GantryError("not-implemented", `--${name} is not supported yet`);
        }
      }
      return await exec(context, id!, command, flags);
    },
  },
  list: {
    flags: { format: "string", quiet: "bool" },
    short: { f: "format" },
    args: [0, 0],
    usage: "",
    async run({ caller, folder }, _args, flags) {
      const format = (flags["format"] as string | undefined) ?? "table";
      caller.io.stdout.write(await listContainers(folder, format, flags["quiet"] === true));
      return 0;
    },
  },
  ps: {
    flags: { format: "string" },
    short: { f: "format" },
    args: [1, Number.POSITIVE_INFINITY],
    usage: "<container-id> [ps options]",
    async run({ caller, folder }, [id, ...options], flags) {
      const format = (flags["format"] as string | undefined) ?? "table";
      const state = await folder.read(id!);
      caller.io.stdout.write(await listProcesses(state, format, options));
      return 0;
    },
  },
  pause: {
    flags: {},
    args: [1, 1],
    usage: "<container-id>",
    run: (context, [id]) => freeze(context, id!, true),
  },
  resume: {
    flags: {},
    args: [1, 1],
    usage: "<container-id>",
    run: (context, [id]) => freeze(context, id!, false),
  },
};
