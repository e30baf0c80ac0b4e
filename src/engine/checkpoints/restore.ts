// The way back: what `start --checkpoint` gives the runtime's planner, and who the process is that
// CRIU has brought back.

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { Created } from "../../native/index.ts";
import {
  type CheckpointFacts,
  CRIU,
  CRIU_LOG,
  checkSpec,
  criuFailed,
  criuMissing,
  ENGINE_WORDS,
  FACTS_FILE,
  parseFacts,
  type RestoreInput,
  restoreArguments,
} from "../../runtime/index.ts";
import type { OciSpec } from "../../spec/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { checkpointsFolder, findFolder } from "./folders.ts";
import { checkOwnRuntime } from "./own-runtime.ts";

export interface CheckpointRef {
  name: string;
  dir?: string;
}
/** A checkpoint that was found, as a start needs it. */
export interface Restoring {
  folder: string;
  workFolder: string;
  rootFolder: string;
  pidFile: string;
  facts: CheckpointFacts;
}

/** Throws not-found with docker's wording. */
export async function openCheckpoint(
  engine: EngineContext,
  c: ContainerRecord,
  { name, dir }: CheckpointRef,
): Promise<Restoring> {
  checkOwnRuntime(engine, c);
  const folder = await findFolder(checkpointsFolder(engine, c, dir), name, c);
  const facts = await readFile(join(folder, FACTS_FILE), "utf8").then(parseFacts, (cause) => {
    throw new GantryError("invalid", `checkpoint ${name} was not made by Gantry`, { cause });
  });
  for (const external of facts.externals) {
    if (external.cgroup === undefined) continue;
    external.cgroup = ownCgroup(engine, external.cgroup.replace(facts.containerId, c.id));
  }
  const workFolder = join(engine.paths.container(c.id).dir, "criu");
  const rootFolder = join(workFolder, "root");
  await mkdir(rootFolder, { recursive: true, mode: 0o700 });
  return { folder, workFolder, rootFolder, pidFile: join(workFolder, "pid"), facts };
}

/** A checkpoint may be another container's, or anybody's: it names no other folder of the host. */
function ownCgroup(engine: EngineContext, path: string): string {
  const { v1, v2 } = engine.runtime.kernel.cgroup;
  const roots = [...v1.values(), ...(v2 ? [v2.path] : [])];
  const isCgroup = roots.some((root) => path === root || path.startsWith(`${root}/`));
  if (isCgroup && !path.split("/").includes("..")) return path;
  throw new GantryError("invalid", `the checkpoint names ${path}, which is no cgroup`);
}

type Share = Pick<RestoreInput, "program" | "rootFolder" | "ownNetwork">;

/** What the planner must know beside what it knows of a new container. */
export function restoreShare(spec: OciSpec, restoring: Restoring): Share {
  checkSpec(spec);
  const { facts, rootFolder, pidFile } = restoring;
  return {
    program: {
      argv: [CRIU, ...restoreArguments(spec, { ...restoring, more: ENGINE_WORDS })],
      env: [`PATH=${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`],
      pidFile,
    },
    rootFolder,
    ownNetwork: facts.network !== undefined,
  };
}

/** The container's own init: the process that the monitor knows only stands in for it. */
export async function restoredProcess(created: Created, { pidFile }: Restoring): Promise<Created> {
  const pid = Number(await readFile(pidFile, "utf8"));
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const startTicks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
  return { ...created, pid, startTicks: BigInt(startTicks) };
}

/** A restore that failed, in the words of CRIU's log. */
export async function explainRestore(error: unknown, restoring: Restoring): Promise<unknown> {
  if (!(error instanceof GantryError) || error.detail["half"] !== "container") return error;
  return errnoOf(error) === "ENOENT"
    ? criuMissing(error)
    : await criuFailed(restoring.workFolder, CRIU_LOG.restore, error);
}
