// The commands of gantry-runtime: those of runc, with its flags, its answers and its errors.

import { CHECKPOINT_FLAGS, checkpoint } from "./checkpoint.ts";
import type { Command, CommandContext } from "./command.ts";
import { CREATE_FLAGS, create, createOptions } from "./create.ts";
import { destroy } from "./destroy.ts";
import { EVENTS_FLAGS, events } from "./events.ts";
import { EXEC_FLAGS, exec } from "./exec.ts";
import { featuresText } from "./features.ts";
import { kill } from "./kill.ts";
import { listContainers, listProcesses } from "./list.ts";
import { freeze } from "./pause.ts";
import { shownState } from "./public-state.ts";
import { RESTORE_FLAGS, restore } from "./restore.ts";
import { writeSpec } from "./spec-template.ts";
import { run, start } from "./start.ts";
import { statusOf } from "./status.ts";
import { UPDATE_FLAGS, update } from "./update.ts";

const MANY = Number.POSITIVE_INFINITY;
const ONE: [number, number] = [1, 1];
const ID = "<container-id>";
const FORMAT = { kind: "string", short: "f", about: "table or json (default: table)" } as const;

/** Commands whose answer is only that nothing failed. */
const quietly =
  (work: (context: CommandContext, id: string) => Promise<unknown>): Command["run"] =>
  async (context, [id]) => {
    await work(context, id!);
    return 0;
  };

const lifecycle: Record<string, Command> = {
  create: {
    about: "make a container from a bundle, ready to be started",
    flags: CREATE_FLAGS,
    args: ONE,
    usage: ID,
    failure: "create failed",
    async run(context, [id], flags) {
      await create(context, id!, createOptions(flags, false));
      return 0;
    },
  },
  start: {
    about: "run the program of a container that was created",
    flags: {},
    args: ONE,
    usage: ID,
    run: quietly((context, id) => start(context, id, { foreground: false })),
  },
  run: {
    about: "create and start a container, and wait until it has ended",
    flags: {
      ...CREATE_FLAGS,
      detach: { kind: "bool", short: "d", about: "do not wait for the container" },
      keep: { kind: "bool", about: "do not delete the container when it has ended" },
      "no-subreaper": { kind: "bool", about: "leave the container's orphans to others" },
    },
    args: ONE,
    usage: ID,
    failure: "run failed",
    async run(context, [id], flags) {
      const options = createOptions(flags, !flags.flag("detach"));
      return await run(context, id!, { ...options, keep: flags.flag("keep") });
    },
  },
  kill: {
    about: "send a signal (default: SIGTERM) to a container's first process",
    flags: { all: { kind: "bool", short: "a", about: "send it to all processes", hidden: true } },
    args: [1, 2],
    usage: `${ID} [signal]`,
    async run(context, [id, signal = "SIGTERM"], flags) {
      await kill(context, id!, { signal, all: flags.flag("all") });
      return 0;
    },
  },
  delete: {
    about: "delete a container that has ended, and all that it had",
    flags: { force: { kind: "bool", short: "f", about: "kill it first, if it runs" } },
    args: ONE,
    usage: ID,
    async run(context, [id], flags) {
      await destroy(context, id!, { force: flags.flag("force") });
      return 0;
    },
  },
  exec: {
    about: "run a further program in a container",
    flags: EXEC_FLAGS,
    args: [1, MANY],
    usage: `${ID} <command> [arguments...], or -p process.json ${ID}`,
    failure: "exec failed",
    failureCode: 255,
    run: (context, [id, ...command], flags) => exec(context, id!, command, flags),
  },
  checkpoint: {
    about: "write the processes of a container to a folder, with CRIU",
    flags: CHECKPOINT_FLAGS,
    args: ONE,
    usage: ID,
    async run(context, [id], flags) {
      await checkpoint(context, id!, flags);
      return 0;
    },
  },
  restore: {
    about: "bring a container back from a checkpoint",
    flags: RESTORE_FLAGS,
    args: ONE,
    usage: ID,
    run: (context, [id], flags) => restore(context, id!, flags),
  },
  pause: {
    about: "let all processes of a container stand still",
    flags: {},
    args: ONE,
    usage: ID,
    run: quietly((context, id) => freeze(context, id, true)),
  },
  resume: {
    about: "let a paused container go on",
    flags: {},
    args: ONE,
    usage: ID,
    run: quietly((context, id) => freeze(context, id, false)),
  },
  update: {
    about: "change the limits of a container",
    flags: UPDATE_FLAGS,
    args: ONE,
    usage: ID,
    async run(context, [id], flags) {
      await update(context, id!, flags);
      return 0;
    },
  },
};

const answers: Record<string, Command> = {
  state: {
    about: "print the state of a container",
    flags: {},
    args: ONE,
    usage: ID,
    async run({ caller, folder }, [id]) {
      const state = await folder.read(id!);
      const shown = shownState(state, await statusOf(folder, state));
      caller.io.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
      return 0;
    },
  },
  list: {
    about: "list the containers beneath --root",
    flags: {
      format: FORMAT,
      quiet: { kind: "bool", short: "q", about: "print their ids alone" },
    },
    args: [0, 0],
    usage: "",
    async run({ caller, folder }, _args, flags) {
      const format = flags.text("format") || "table";
      caller.io.stdout.write(await listContainers(folder, format, flags.flag("quiet")));
      return 0;
    },
  },
  ps: {
    about: "list the processes of a container",
    flags: { format: FORMAT },
    args: [1, MANY],
    usage: `${ID} [ps options]`,
    async run({ caller, folder }, [id, ...options], flags) {
      const state = await folder.read(id!);
      const format = flags.text("format") || "table";
      caller.io.stdout.write(await listProcesses(state, format, options));
      return 0;
    },
  },
  events: {
    about: "print the numbers of a container, and when its memory runs out",
    flags: EVENTS_FLAGS,
    args: ONE,
    usage: ID,
    async run(context, [id], flags) {
      await events(context, id!, flags);
      return 0;
    },
  },
  spec: {
    about: "write a config.json to begin with",
    flags: {
      bundle: { kind: "string", short: "b", about: "folder to write to (default: this folder)" },
      rootless: { kind: "bool", about: "one for a user without privileges" },
    },
    args: [0, 0],
    usage: "",
    async run(context, _args, flags) {
      const bundle = flags.text("bundle");
      await writeSpec(context, { bundle, rootless: flags.flag("rootless") });
      return 0;
    },
  },
  features: {
    about: "print what this runtime can do on this kernel",
    flags: {},
    args: [0, 0],
    usage: "",
    async run({ caller, kernel }) {
      caller.io.stdout.write(featuresText(kernel));
      return 0;
    },
  },
};

export const commands: Readonly<Record<string, Command>> = Object.fromEntries(
  Object.entries({ ...lifecycle, ...answers }).sort(([a], [b]) => (a < b ? -1 : 1)),
);
