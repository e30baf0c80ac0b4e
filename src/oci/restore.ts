// restore: a container whose processes CRIU brings back from the images of a checkpoint. What
// surrounds them is made from the bundle as for a new container.

import { mkdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { GantryError, messageOf } from "../base/index.ts";
import {
  type CheckpointFacts,
  CRIU_LOG,
  checkSpec,
  criuFailed,
  criuMissing,
  FACTS_FILE,
  type PlannedCreate,
  parseFacts,
  planRestore,
  restoreArguments,
} from "../runtime/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { readBundle, withCgroupPath } from "./bundle.ts";
import {
  checkEmptied,
  placesOf,
  refused,
  SHARED_FLAGS,
  sharedWords,
} from "./checkpoint-options.ts";
import { type CommandContext, locked } from "./command.ts";
import { writePid } from "./create.ts";
import { destroy, giveBack } from "./destroy.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import type { ContainerState } from "./state-folder.ts";

export const RESTORE_FLAGS = {
  ...SHARED_FLAGS,
  bundle: { kind: "string", short: "b", about: "folder of the bundle (default: this folder)" },
  "console-socket": { kind: "string", about: "refused: terminals cannot be checkpointed" },
  detach: { kind: "bool", short: "d", about: "do not wait for the container" },
  "pid-file": { kind: "string", about: "file that the pid is written to" },
  "no-subreaper": { kind: "bool", about: "with --detach alone: leave orphans to others" },
  "no-pivot": { kind: "bool", about: "refused: CRIU changes the root" },
  "auto-dedup": { kind: "bool", about: "free each page of the images once it is back" },
  "lsm-profile": { kind: "string", about: "refused: processes keep the label they had" },
  "lsm-mount-context": { kind: "string", about: "refused: mounts are made anew" },
} as const satisfies FlagTable;

interface Restoring {
  bundle: string;
  spec: OciSpec;
  folder: string;
  workFolder: string;
  facts: CheckpointFacts;
  more: string[];
}

/** Resolves with the exit code to give. Commit point: CRIU has brought the processes back. */
export async function restore(
  context: CommandContext,
  id: string,
  flags: FlagValues,
): Promise<number> {
  const { caller, folder } = context;
  const { cwd } = caller.io;
  const isDetached = flags.flag("detach");
  refuse(flags, isDetached);
  const words = [...sharedWords(flags), ...(flags.flag("auto-dedup") ? ["--auto-dedup"] : [])];
  const bundle = resolve(cwd, flags.text("bundle"));
  const spec = await readBundle(bundle);
  checkSpec(spec, { network: true });
  refuseHooks(spec);
  if (context.systemdCgroup) {
    throw new GantryError(
      "not-implemented",
      "restore makes no cgroups by systemd: leave out --systemd-cgroup",
    );
  }
  checkEmptied(flags, spec);
  const places = placesOf(flags, cwd);
  const facts = await readFile(join(places.folder, FACTS_FILE), "utf8").then(
    parseFacts,
    (cause) => {
      const message = `${places.folder} holds no checkpoint of ours: ${messageOf(cause)}`;
      throw new GantryError("invalid", message, { cause });
    },
  );
  await folder.claim(id);
  if (!isDetached) caller.io.onSignal(() => {}); // they wait for the container
  const state = await locked(context, id, async () => {
    try {
      return await bringBack(context, id, { bundle, spec, ...places, facts, more: words });
    } catch (error) {
      if (!caller.io.signal.aborted) await folder.remove(id);
      throw error;
    }
  });
  const pidFile = flags.text("pid-file") && resolve(cwd, flags.text("pid-file"));
  if (pidFile) await writePid(pidFile, state.pid);
  if (isDetached) return 0;
  const code = await caller.wait(state.pid, { terminal: false });
  await destroy(context, id, { force: true });
  if (pidFile) await rm(pidFile, { force: true });
  return code;
}

function refuse(flags: FlagValues, isDetached: boolean): void {
  if (flags.flag("no-pivot")) throw refused("--no-pivot: CRIU changes the root");
  if (flags.text("console-socket")) {
    throw refused("--console-socket: containers with a terminal cannot be checkpointed");
  }
  for (const name of ["lsm-profile", "lsm-mount-context"]) {
    if (flags.text(name)) throw refused(`--${name}: what comes back keeps the labels it had`);
  }
  if (flags.flag("no-subreaper") && !isDetached) {
    throw refused("--no-subreaper without --detach: the restored process would be nobody's child");
  }
}

function refuseHooks({ hooks }: OciSpec): void {
  const before = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;
  const found = before.find((point) => (hooks?.[point] ?? []).length > 0);
  if (found) throw refused(`restoring a container with ${found} hooks`);
}

async function bringBack(
  context: CommandContext,
  id: string,
  restoring: Restoring,
): Promise<ContainerState> {
  const { caller, folder, log } = context;
  const { bundle, spec, workFolder } = restoring;
  const own = folder.folder(id);
  const rootFolder = join(own, "root");
  const pidFile = join(own, "restored.pid");
  await mkdir(rootFolder, { mode: 0o700 });
  await mkdir(workFolder, { recursive: true, mode: 0o700 });
  const { plan, cgroupPaths } = planOf(context, id, { ...restoring, rootFolder, pidFile });
  const state: ContainerState = {
    ...{ version: 1, id, bundle, spec, cgroupPaths, pid: 0, startTicks: "0" },
    created: new Date().toISOString(),
    owner: process.getuid?.() ?? 0,
  };
  await folder.write(state);
  log.debug("running CRIU");
  const o = { preserveFds: 0, consoleSocket: "", subreaper: true };
  await caller.create(plan, o).catch(async (error: unknown) => {
    throw await explained(error, { workFolder, criu: context.criu });
  });
  try {
    const pid = Number(await readFile(pidFile, "utf8"));
    const made = { ...state, pid, startTicks: await startTicksOf(pid) };
    await folder.write(made);
    return made;
  } catch (error) {
    await giveBack(caller, state);
    throw error;
  }
}

function planOf(
  { kernel, criu, caller, folder }: CommandContext,
  id: string,
  o: Restoring & { rootFolder: string; pidFile: string },
): PlannedCreate {
  const make = (argv: string[]) =>
    planRestore({
      ...{ id, spec: withCgroupPath(o.spec, id), kernel, rootFolder: o.rootFolder },
      rootfs: { kind: "bind", path: o.spec.root!.path },
      standalone: { startSocket: "", claimFile: folder.claimFile(id), preserveFds: 0 },
      ownNetwork: o.facts.network !== undefined,
      program: {
        argv,
        env: [`PATH=${caller.io.env["PATH"] ?? ""}`],
        pidFile: o.pidFile,
        leave: true,
      },
      monitor: {
        ...{ id, socketPath: "", exitPath: "", terminal: false, stdinOnce: false },
        ...{ openStdin: true, holdMs: 0 },
      },
    });
  // Where the cgroups of this container are is known only from its plan.
  const { cgroupPaths } = make([]);
  const facts = { ...o.facts, externals: o.facts.externals.map((one) => inOwn(one, cgroupPaths)) };
  return make([criu, ...restoreArguments(o.spec, { ...o, facts })]);
}

type External = CheckpointFacts["externals"][number];

/** A mount of a cgroup shows this container's own: a checkpoint may be anybody's. */
function inOwn(external: External, paths: Readonly<Record<string, string>>): External {
  const { cgroup } = external;
  if (cgroup === undefined) return external;
  const own = Object.values(paths).find((path) => {
    const mount = /^(\/sys\/fs\/cgroup(?:\/[^/]+)?)\//.exec(path)?.[1] ?? path;
    return cgroup.startsWith(`${mount}/`);
  });
  if (own) return { ...external, cgroup: own };
  throw new GantryError("invalid", `the checkpoint names ${cgroup}, which is no cgroup`);
}

async function explained(
  error: unknown,
  { workFolder, criu }: { workFolder: string; criu: string },
): Promise<unknown> {
  if (!(error instanceof GantryError) || error.detail["half"] !== "container") return error;
  if (error.detail["errno"] === "ENOENT") return criuMissing(error, criu);
  return await criuFailed(workFolder, CRIU_LOG.restore, error);
}

async function startTicksOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
}
