// create: a container from a bundle, up to where its program would run.

import { rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import { configWarnings, type PlannedCreate, planCreate, type RdtState } from "../runtime/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { readBundle } from "./bundle.ts";
import { type CommandContext, locked } from "./command.ts";
import { giveBack, runPoststop } from "./destroy.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { type HostFacts, hostFacts } from "./host-facts.ts";
import { addNotifySocket, makeNotifyFolder } from "./notify.ts";
import { rdtFacts } from "./rdt-facts.ts";
import type { ContainerState } from "./state-folder.ts";
import { holdScope, inScope, scopeFor } from "./systemd-scope.ts";

export interface CreateOptions {
  bundle: string;
  consoleSocket: string;
  pidfdSocket: string;
  pidFile: string;
  preserveFds: number;
  noNewKeyring: boolean;
  noPivot: boolean;
  /** Whether the caller stays until the container has ended. */
  foreground: boolean;
  /** Whether the container's orphans fall to the caller. */
  subreaper: boolean;
}

export const CREATE_FLAGS = {
  bundle: { kind: "string", short: "b", about: "folder of the bundle (default: this folder)" },
  "console-socket": {
    kind: "string",
    about: "unix socket that receives the terminal's descriptor",
  },
  "pidfd-socket": {
    kind: "string",
    about: "unix socket that receives a pidfd of the container's first process",
  },
  "pid-file": { kind: "string", about: "file that the pid is written to" },
  "no-pivot": {
    kind: "bool",
    about: "move the root instead of pivoting it, for hosts that run from a ramdisk",
  },
  "no-new-keyring": { kind: "bool", about: "keep the caller's session keyring" },
  "preserve-fds": {
    kind: "int",
    about: "hand on so many descriptors after those of $LISTEN_FDS, from 3 on",
  },
} as const satisfies FlagTable;

export function createOptions(flags: FlagValues, foreground: boolean): CreateOptions {
  return {
    bundle: flags.text("bundle"),
    consoleSocket: flags.text("console-socket"),
    pidfdSocket: flags.text("pidfd-socket"),
    pidFile: flags.text("pid-file"),
    preserveFds: preserveFdsOf(flags),
    noNewKeyring: flags.flag("no-new-keyring"),
    noPivot: flags.flag("no-pivot"),
    foreground,
    subreaper: foreground && !flags.flag("no-subreaper"),
  };
}

export function preserveFdsOf(flags: FlagValues): number {
  const count = flags.int("preserve-fds");
  if (count < 0) throw new GantryError("invalid", `--preserve-fds ${count} is negative`);
  return count;
}

/** Commit point: the process waits to be started and its state is written. */
export async function create(
  context: CommandContext,
  id: string,
  o: CreateOptions,
): Promise<ContainerState> {
  const { caller, folder } = context;
  const bundle = resolve(caller.io.cwd, o.bundle);
  const spec = await readBundle(bundle);
  checkTerminal(spec.process!.terminal === true, o);
  withListeners(spec, caller.io.env);
  await folder.claim(id);
  return await locked(context, id, async () => {
    try {
      return await make(context, id, { ...o, bundle, spec });
    } catch (error) {
      // Where the caller was killed nobody has undone anything: what is left must be found.
      if (caller.io.signal.aborted) throw error;
      const begun = await folder.read(id).catch(() => undefined);
      await folder.remove(id);
      // A hook that failed ends the life of a container, whose last step these are.
      if (begun) await runPoststop(context, begun);
      throw error;
    }
  });
}

async function make(
  context: CommandContext,
  id: string,
  o: CreateOptions & { spec: OciSpec },
): Promise<ContainerState> {
  const { caller, folder, log } = context;
  const { bundle, spec } = o;
  const { cwd } = caller.io;
  const notifies = addNotifySocket(spec, folder.notifySocket(id), caller.io.env);
  if (notifies) await makeNotifyFolder(folder.notifySocket(id));
  const preserveFds = o.preserveFds + listenersOf(caller.io.env);
  for (const text of configWarnings(spec, context.kernel)) log.warn(text);
  const facts = {
    ...(await hostFacts(caller, spec)),
    ...(await rdtFacts(context.kernel, id, spec)),
  };
  const scope = scopeFor(context, id, spec);
  const place = inScope(spec, id, scope);
  const { plan, cgroupPaths, rdt } = planOf(context, id, { ...o, ...facts, ...place, preserveFds });
  const state: ContainerState = {
    ...{ version: 1, id, bundle, spec, cgroupPaths, pid: 0, startTicks: "0" },
    created: new Date().toISOString(),
    owner: process.getuid?.() ?? 0,
    ...(notifies && { notifies }),
    ...(rdt && { rdt }),
    ...(scope && { unit: scope.unit }),
  };
  // A scope that was there already is not ours to end: only one that was made is written down.
  await using _held = scope && (await holdScope(scope, state, plan.host));
  // From here on a killed creation can be found and deleted.
  await folder.write(state);
  log.debug(`running a plan of ${plan.host.length} and ${plan.container.length} operations`);
  const { pid, startTicks } = await caller.create(plan, {
    preserveFds,
    subreaper: o.subreaper,
    consoleSocket: o.consoleSocket && resolve(cwd, o.consoleSocket),
    pidfdSocket: o.pidfdSocket && resolve(cwd, o.pidfdSocket),
    pidfdText: "standard",
  });
  const made = { ...state, pid, startTicks: String(startTicks) };
  try {
    await folder.write(made);
    if (o.pidFile) await writePid(resolve(cwd, o.pidFile), pid);
  } catch (error) {
    // It would wait for ever, and nobody would know of it.
    await giveBack(caller, made);
    throw error;
  }
  log.debug(`process ${pid} waits to be started`);
  return made;
}

function planOf(
  { folder, kernel }: CommandContext,
  id: string,
  o: CreateOptions & HostFacts & { rdt?: RdtState } & ReturnType<typeof inScope>,
): PlannedCreate {
  const { spec, bundle } = o;
  const terminal = spec.process!.terminal === true;
  return planCreate({
    ...{ id, spec, kernel, bundle, ownDevices: true },
    ...(o.netDevices && { netDevices: o.netDevices }),
    ...(o.rdt && { rdt: o.rdt }),
    ...(o.preparedParents && { preparedParents: o.preparedParents }),
    rootfs: { kind: "bind", path: spec.root!.path },
    standalone: {
      startSocket: folder.startSocket(id),
      claimFile: folder.claimFile(id),
      preserveFds: o.preserveFds,
      keepKeyring: o.noNewKeyring,
      noPivot: o.noPivot,
    },
    monitor: {
      ...{ id, socketPath: "", exitPath: "", terminal, stdinOnce: false },
      ...{ openStdin: true, holdMs: 0 },
    },
  });
}

/** A terminal needs somebody who has its other end, and only then. */
export function checkTerminal(
  terminal: boolean,
  o: { consoleSocket: string; foreground: boolean },
): void {
  if (terminal && !o.foreground && o.consoleSocket === "") {
    throw new GantryError(
      "invalid",
      "cannot allocate tty if runc will detach without setting console socket",
    );
  }
  if (o.consoleSocket !== "" && (!terminal || o.foreground)) {
    throw new GantryError(
      "invalid",
      "cannot use console socket if runc will not detach or allocate tty",
    );
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Descriptors of socket activation. The caller's process has checked that they are its own. */
function listenersOf(env: Environment): number {
  const text = env["LISTEN_FDS"] ?? "";
  return /^\d{1,4}$/.test(text) ? Number(text) : 0;
}

/** Socket activation is passed on: the descriptors keep their numbers. */
function withListeners(spec: OciSpec, env: Environment): void {
  const count = listenersOf(env);
  if (count === 0) return;
  const names = env["LISTEN_FDNAMES"];
  spec.process!.env = [
    ...(spec.process!.env ?? []),
    ...[`LISTEN_FDS=${count}`, "LISTEN_PID=1"],
    ...(names ? [`LISTEN_FDNAMES=${names}`] : []),
  ];
}

/** Whole or not at all: who waits for the file reads it as soon as it is there. */
export async function writePid(path: string, pid: number): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${pid}`);
  try {
    await writeFile(beside, String(pid), { mode: 0o666 });
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
