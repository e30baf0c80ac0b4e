// exec: a further process in a container, from its flags or from a process.json.

import { readFile, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { GantryError, parseExactJson } from "../base/index.ts";
import {
  capabilityNames,
  type KernelFeatures,
  planExec,
  processWarnings,
} from "../runtime/index.ts";
import type { OciProcess } from "../spec/index.ts";
import type { CommandContext } from "./command.ts";
import { checkProcessShape } from "./config-shape.ts";
import { checkTerminal, preserveFdsOf, writePid } from "./create.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { killPlan, SIGKILL } from "./kill.ts";
import { type Log, wording } from "./log.ts";
import { publicState } from "./public-state.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";
import { subCgroups } from "./sub-cgroups.ts";

export const EXEC_FLAGS = {
  "console-socket": {
    kind: "string",
    about: "unix socket that receives the terminal's descriptor",
  },
  "pidfd-socket": { kind: "string", about: "unix socket that receives a pidfd of the process" },
  cwd: { kind: "string", about: "working folder in the container" },
  env: { kind: "list", short: "e", about: "a further variable, NAME=VALUE" },
  tty: { kind: "bool", short: "t", about: "give the process a terminal" },
  user: { kind: "string", short: "u", about: "UID[:GID]" },
  "additional-gids": { kind: "ints", short: "g", about: "a further group" },
  process: { kind: "string", short: "p", about: "process.json that says everything" },
  detach: { kind: "bool", short: "d", about: "do not wait for the process" },
  "pid-file": { kind: "string", about: "file that the pid is written to" },
  "process-label": { kind: "string", about: "SELinux label of the process" },
  apparmor: { kind: "string", about: "AppArmor profile of the process" },
  "no-new-privs": { kind: "bool", about: "the process can gain no privileges" },
  cap: { kind: "list", short: "c", about: "a further capability" },
  "preserve-fds": { kind: "int", about: "hand on so many descriptors from 3 on" },
  cgroup: {
    kind: "list",
    about: "existing cgroup in the container's own, [CONTROLLER,…:]PATH",
  },
  "ignore-paused": { kind: "bool", about: "start it in a paused container: it waits there" },
} as const satisfies FlagTable;

/** A frozen cgroup keeps whoever enters it, for as long as it likes. */
const PAUSED_DEADLINE_MS = 0x7fff_ffff;

/** Resolves with the exit code to give. */
export async function exec(
  { caller, folder, kernel, log }: CommandContext,
  id: string,
  command: readonly string[],
  flags: FlagValues,
): Promise<number> {
  const state = await folder.read(id);
  const status = await statusOf(folder, state);
  checkStatus(status, flags);
  const { cwd } = caller.io;
  const process = await processOf(state, command, flags, { cwd, kernel, log });
  for (const text of processWarnings(process, state.spec, kernel)) log.warn(text);
  const terminal = process.terminal === true;
  const detach = flags.flag("detach");
  const consoleSocket = flags.text("console-socket");
  const pidfdSocket = flags.text("pidfd-socket");
  checkTerminal(terminal, { consoleSocket, foreground: !detach });
  const preserveFds = preserveFdsOf(flags);
  const { seccomp, namespaces = [] } = state.spec.linux ?? {};
  const isNew = (type: string) => namespaces.some((namespace) => namespace.type === type);
  const plan = planExec({
    ...{ execId: id, pid: state.pid, startTicks: BigInt(state.startTicks), process, kernel },
    cgroupPaths: subCgroups(state.cgroupPaths, flags.list("cgroup")),
    ...(seccomp && { seccomp }),
    ...(state.rdt && { rdt: state.rdt }),
    state: { ...publicState(state, "running"), pid: state.pid },
    ...(state.spec.linux && { linux: state.spec.linux }),
    userNamespace: isNew("user"),
    timeNamespace: isNew("time"),
    ...{ terminal, openStdin: true, standalone: { preserveFds } },
  });
  if (status === "paused") plan.deadlineMs = PAUSED_DEADLINE_MS;
  if (!detach) caller.io.onSignal(() => {}); // they wait for the process
  const { pid, startTicks } = await caller.create(plan, {
    preserveFds,
    consoleSocket: consoleSocket && resolve(cwd, consoleSocket),
    pidfdSocket: pidfdSocket && resolve(cwd, pidfdSocket),
    pidfdText: "setns",
  });
  log.debug(`process ${pid} runs`);
  const pidFile = flags.text("pid-file") && resolve(cwd, flags.text("pid-file"));
  if (pidFile) {
    await writePid(pidFile, pid).catch(async (error: unknown) => {
      // The caller is told of a failure, and has no name for what runs.
      await caller.run({ host: killPlan({ pid, startTicks: String(startTicks) }, SIGKILL) });
      throw error;
    });
  }
  if (detach) return 0;
  const code = await caller.wait(pid, { terminal: terminal && consoleSocket === "" });
  if (pidFile) await rm(pidFile, { force: true });
  return code;
}

function checkStatus(status: string, flags: FlagValues): void {
  if (status === "stopped" || status === "creating") {
    throw new GantryError("conflict", `cannot exec in a ${status} container`);
  }
  if (status === "paused" && !flags.flag("ignore-paused")) {
    throw new GantryError(
      "conflict",
      "cannot exec in a paused container (use --ignore-paused to override)",
    );
  }
}

async function processOf(
  { spec }: ContainerState,
  command: readonly string[],
  flags: FlagValues,
  o: { cwd: string; kernel: KernelFeatures; log: Log },
): Promise<OciProcess> {
  const path = flags.text("process");
  if (path !== "") return await readProcess(resolve(o.cwd, path));
  if (command.length === 0) throw new GantryError("invalid", "process args cannot be empty");
  const own = spec.process!;
  const process: OciProcess = { ...own, args: [...command], terminal: flags.flag("tty") };
  if (flags.text("cwd")) process.cwd = flags.text("cwd");
  process.env = [...(own.env ?? []), ...flags.list("env")];
  process.user = { ...own.user, ...userOf(flags.text("user")) };
  const gids = flags.ints("additional-gids");
  if (gids.some((gid) => gid < 0)) {
    throw new GantryError("invalid", `additional gids ${gids.join(", ")} make no sense`);
  }
  process.user.additionalGids = [...(own.user.additionalGids ?? []), ...gids];
  if (flags.has("no-new-privs")) process.noNewPrivileges = flags.flag("no-new-privs");
  if (flags.text("apparmor")) process.apparmorProfile = flags.text("apparmor");
  if (flags.text("process-label")) process.selinuxLabel = flags.text("process-label");
  process.capabilities = withCapabilities(own, known(flags.list("cap"), o));
  return process;
}

async function readProcess(path: string): Promise<OciProcess> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new GantryError("invalid", `open ${path}: ${wording(cause)}`, { cause });
  });
  let process: OciProcess;
  try {
    process = parseExactJson(text) as OciProcess;
  } catch (cause) {
    throw new GantryError("invalid", `${path} is no JSON: ${(cause as Error).message}`, { cause });
  }
  checkProcessShape(process);
  if (!process.args?.length) throw new GantryError("invalid", "args must not be empty");
  if (!process.cwd) throw new GantryError("invalid", "Cwd property must not be empty");
  if (!process.cwd.startsWith("/")) {
    throw new GantryError("invalid", "Cwd must be an absolute path");
  }
  process.user ??= { uid: 0, gid: 0 };
  return process;
}

/** UID[:GID]; without a GID the group stays. */
function userOf(text: string): Partial<OciProcess["user"]> {
  if (text === "") return {};
  const [uid = "", gid] = text.split(":");
  const parse = (part: string, what: string): number => {
    if (/^\d{1,10}$/.test(part)) return Number(part);
    throw new GantryError("invalid", `parsing ${part} as int for ${what} failed`);
  };
  return { uid: parse(uid, "uid"), ...(gid !== undefined && { gid: parse(gid, "gid") }) };
}

/** As runc, an unknown capability is told of and left out. */
function known(names: readonly string[], o: { kernel: KernelFeatures; log: Log }): string[] {
  const possible = new Set(capabilityNames.slice(0, o.kernel.lastCapability + 1));
  const unknown = names.filter((name) => !possible.has(name));
  if (unknown.length > 0) {
    o.log.warn(`ignoring unknown or unavailable capabilities: [${unknown.join(" ")}]`);
  }
  return names.filter((name) => possible.has(name));
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
