// create, start and run: a container from a bundle, in two steps or one.

import { rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import { type KernelFeatures, planCreate, planHooks } from "../runtime/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { readBundle } from "./bundle.ts";
import type { Caller } from "./caller.ts";
import { destroy } from "./destroy.ts";
import { publicState } from "./public-state.ts";
import type { ContainerState, StateFolder } from "./state-folder.ts";
import { statusOf } from "./status.ts";

export interface CreateOptions {
  bundle: string;
  consoleSocket: string;
  pidFile: string;
  preserveFds: number;
  noNewKeyring: boolean;
  noPivot: boolean;
  /** Whether the caller stays until the container has ended. */
  foreground: boolean;
}

interface Context {
  caller: Caller;
  folder: StateFolder;
  kernel: KernelFeatures;
}

/** Commit point: the process waits to be started and its state is written. */
export async function create(
  { caller, folder, kernel }: Context,
  id: string,
  o: CreateOptions,
): Promise<ContainerState> {
  const bundle = resolve(caller.io.cwd, o.bundle);
  const spec = await readBundle(bundle);
  const terminal = spec.process!.terminal === true;
  checkTerminal(terminal, o);
  withListeners(spec, o, caller.io.env);
  await folder.claim(id);
  try {
    const { plan, cgroupPaths } = planCreate({
      ...{ id, spec, kernel, bundle },
      rootfs: { kind: "bind", path: spec.root!.path },
      standalone: {
        startSocket: folder.startSocket(id),
        preserveFds: preserved(o, caller.io.env),
        keepKeyring: o.noNewKeyring,
        noPivot: o.noPivot,
      },
      monitor: {
        ...{ id, socketPath: "", exitPath: "", terminal, stdinOnce: false },
        ...{ openStdin: true, holdMs: 0 },
      },
    });
    const { pid, startTicks } = await caller.create(plan, {
      preserveFds: preserved(o, caller.io.env),
      consoleSocket: o.consoleSocket && resolve(caller.io.cwd, o.consoleSocket),
    });
    const state: ContainerState = {
      ...{ version: 1, id, bundle, spec, pid, cgroupPaths },
      created: new Date().toISOString(),
      startTicks: String(startTicks),
      owner: process.getuid?.() ?? 0,
    };
    await folder.write(state);
    if (o.pidFile) await writePid(resolve(caller.io.cwd, o.pidFile), pid);
    return state;
  } catch (error) {
    await folder.remove(id);
    throw error;
  }
}

function checkTerminal(terminal: boolean, o: CreateOptions): void {
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

const preserved = (o: CreateOptions, env: Readonly<Record<string, string | undefined>>) =>
  o.preserveFds + (Number(env["LISTEN_FDS"]) || 0);

/** Socket activation is passed on: the descriptors keep their numbers. */
function withListeners(
  spec: OciSpec,
  _o: CreateOptions,
  env: Readonly<Record<string, string | undefined>>,
): void {
  if (!(Number(env["LISTEN_FDS"]) > 0)) return;
  const names = env["LISTEN_FDNAMES"];
  spec.process!.env = [
    ...(spec.process!.env ?? []),
    `LISTEN_FDS=${env["LISTEN_FDS"]}`,
    "LISTEN_PID=1",
    ...(names ? [`LISTEN_FDNAMES=${names}`] : []),
  ];
}

async function writePid(path: string, pid: number): Promise<void> {
  await writeFile(path, String(pid), { mode: 0o666 });
}

/** Commit point: the container's program runs. A poststart hook that fails ends the container. */
export async function start({ caller, folder }: Context, id: string): Promise<void> {
  const state = await folder.read(id);
  const status = await statusOf(folder, state);
  if (status !== "created") {
    throw new GantryError(
      "conflict",
      status === "stopped"
        ? "cannot start a container that has stopped"
        : "cannot start an already running container",
    );
  }
  await caller.run({ host: [{ op: "releaseStart", path: folder.startSocket(id) }] });
  await folder.forgetSocket(id);
  const hooks = planHooks(state.spec.hooks, "poststart", {
    state: publicState(state, "running"),
    pid: { number: state.pid },
  });
  if (hooks.length === 0) return;
  try {
    await caller.run({ host: hooks });
  } catch (error) {
    await caller.run({ host: killPlan(state) }).catch(() => {});
    throw error;
  }
}

const SIGKILL = 9;
const killPlan = ({ pid }: ContainerState) =>
  [
    { op: "pidfdOpen", pid, to: 0 },
    { op: "kill", slot: 0, signal: SIGKILL },
  ] as const;

/** Resolves with the exit code to give; a container that is detached goes on. */
export async function run(
  context: Context,
  id: string,
  o: CreateOptions & { keep: boolean },
): Promise<number> {
  // From now on signals wait for the container.
  if (o.foreground) context.caller.io.onSignal(() => {});
  const state = await create(context, id, o);
  const { caller, folder } = context;
  try {
    await start(context, id);
  } catch (error) {
    await destroy({ caller, folder }, state, { force: true });
    throw error;
  }
  if (!o.foreground) return 0;
  const code = await caller.wait(state.pid, { terminal: state.spec.process!.terminal === true });
  if (!o.keep) await destroy({ caller, folder }, state, { force: true });
  if (o.pidFile) await rm(resolve(caller.io.cwd, o.pidFile), { force: true });
  return code;
}
