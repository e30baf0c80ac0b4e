// exec: a further process in a container, from its flags or from a process.json.

import { readFile, rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import { type KernelFeatures, planExec } from "../runtime/index.ts";
import type { OciProcess } from "../spec/index.ts";
import type { Caller } from "./caller.ts";
import type { FlagValues } from "./flags.ts";
import type { ContainerState, StateFolder } from "./state-folder.ts";
import { statusOf } from "./status.ts";

interface Context {
  caller: Caller;
  folder: StateFolder;
  kernel: KernelFeatures;
}

/** Resolves with the exit code to give. */
export async function exec(
  { caller, folder, kernel }: Context,
  id: string,
  command: readonly string[],
  flags: FlagValues,
): Promise<number> {
  const state = await folder.read(id);
  const status = await statusOf(folder, state);
  if (status === "stopped") throw new GantryError("conflict", "cannot exec in a stopped container");
  if (status === "paused" && !flags["ignore-paused"]) {
    throw new GantryError(
      "conflict",
      "cannot exec in a paused container (use --ignore-paused to override)",
    );
  }
  const { cwd } = caller.io;
  const process = await processOf(state, command, flags, cwd);
  const terminal = process.terminal === true;
  const detach = flags["detach"] === true;
  const consoleSocket = (flags["console-socket"] as string | undefined) ?? "";
  if (terminal && detach && consoleSocket === "") {
    throw new GantryError(
      "invalid",
      "cannot allocate tty if runc will detach without setting console socket",
    );
  }
  const preserveFds = (flags["preserve-fds"] as number | undefined) ?? 0;
  const { spec } = state;
  const isNew = (type: string) =>
    spec.linux?.namespaces?.some((namespace) => namespace.type === type) ?? false;
  const plan = planExec({
    execId: id,
    pid: state.pid,
    process,
    kernel,
    cgroupPaths: state.cgroupPaths,
    ...(spec.linux?.seccomp && { seccomp: spec.linux.seccomp }),
    userNamespace: isNew("user"),
    timeNamespace: isNew("time"),
    terminal,
    openStdin: true,
    standalone: { preserveFds },
  });
  if (!detach) caller.io.onSignal(() => {}); // they wait for the process
  const { pid } = await caller.create(plan, {
    preserveFds,
    consoleSocket: consoleSocket && resolve(cwd, consoleSocket),
  });
  const pidFile = flags["pid-file"] as string | undefined;
  if (pidFile) await writeFile(resolve(cwd, pidFile), String(pid));
  if (detach) return 0;
  const code = await caller.wait(pid, { terminal: terminal && consoleSocket === "" });
  if (pidFile) await rm(resolve(cwd, pidFile), { force: true });
  return code;
}

async function processOf(
  { spec }: ContainerState,
  command: readonly string[],
  flags: FlagValues,
  cwd: string,
): Promise<OciProcess> {
  const path = flags["process"] as string | undefined;
  if (path !== undefined) {
    const process = JSON.parse(await readFile(resolve(cwd, path), "utf8")) as OciProcess;
    if (!process.args?.length) throw new GantryError("invalid", "process args cannot be empty");
    return process;
  }
  if (command.length === 0) throw new GantryError("invalid", "process args cannot be empty");
  const own = spec.process!;
  const process: OciProcess = { ...own, args: [...command], terminal: flags["tty"] === true };
  if (flags["cwd"]) process.cwd = flags["cwd"] as string;
  process.env = [...(own.env ?? []), ...((flags["env"] as string[] | undefined) ?? [])];
  if (flags["user"]) process.user = userOf(flags["user"] as string);
  const more = (flags["additional-gids"] as string[] | undefined)?.map(Number);
  if (more) process.user = { ...process.user, additionalGids: more };
  if (flags["no-new-privs"]) process.noNewPrivileges = true;
  if (flags["apparmor"]) process.apparmorProfile = flags["apparmor"] as string;
  if (flags["process-label"]) process.selinuxLabel = flags["process-label"] as string;
  process.capabilities = withCapabilities(own, (flags["cap"] as string[] | undefined) ?? []);
  return process;
}

function userOf(text: string): OciProcess["user"] {
  const [uid, gid = "0"] = text.split(":");
  const numbers = [uid, gid].map((part) => Number(part));
  if (numbers.some((number) => !Number.isInteger(number) || number < 0)) {
    throw new GantryError("invalid", `parsing ${text} as UID[:GID] failed`);
  }
  return { uid: numbers[0]!, gid: numbers[1]! };
}

function withCapabilities({ capabilities = {} }: OciProcess, added: readonly string[]) {
  const join = (list: string[] | undefined) => [...new Set([...(list ?? []), ...added])];
  const { bounding, effective, permitted, inheritable, ambient } = capabilities;
  return {
    bounding: join(bounding),
    effective: join(effective),
    permitted: join(permitted),
    inheritable: inheritable ?? [],
    ambient: ambient ?? [],
  };
}
