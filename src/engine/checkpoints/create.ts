// A checkpoint: CRIU freezes the container's processes, writes them to a folder and, unless they
// are to go on, ends them. A failure leaves the container running and no folder.

import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, messageOf, Rollback } from "../../base/index.ts";
import {
  checkSpec,
  dumpArguments,
  ENGINE_WORDS,
  FACTS_FILE,
  readFacts,
  runDump,
} from "../../runtime/index.ts";
import { announce } from "../containers/announce.ts";
import { type ContainerRecord, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { CheckpointCreateRequest } from "../contract.ts";
import { gatherPlan } from "../explain/gather.ts";
import { checkName, checkpointsFolder, makeFolder, removeFolder } from "./folders.ts";
import { checkOwnRuntime } from "./own-runtime.ts";

/** Commit point: CRIU has written everything. */
export async function createCheckpoint(
  engine: EngineContext,
  ref: string,
  request: CheckpointCreateRequest,
): Promise<void> {
  const { id } = engine.containers.find(ref);
  checkName(request.name);
  const { exited } = await engine.transitions.run(id, async () => {
    const c = engine.containers.find(id);
    if (!isRunning(c)) throw new GantryError("conflict", `container ${c.id} is not running`);
    checkOwnRuntime(engine, c);
    await using undo = new Rollback((what, error) =>
      engine.log.error(`Failed to undo ${what} of a checkpoint`, { id, error }),
    );
    const parent = checkpointsFolder(engine, c, request.dir);
    const folder = await makeFolder(parent, request.name, c);
    undo.defer("folder", () => removeFolder(folder));
    const live = engine.live.of(id);
    const wasStopping = live.stopping;
    // CRIU ends it: no restart policy is meant.
    if (!request.leaveRunning) live.stopping = true;
    try {
      await dump(engine, c, { folder, leaveRunning: request.leaveRunning === true });
    } catch (cause) {
      live.stopping = wasStopping;
      const message = `Cannot checkpoint container ${c.name}: ${messageOf(cause)}`;
      const kind = cause instanceof GantryError ? cause.kind : "internal";
      throw new GantryError(kind, message, { cause });
    }
    undo.commit();
    announce(engine, c, "checkpoint");
    // Its exit is handled when this transition is over.
    return { exited: request.leaveRunning ? undefined : live.exitHandled };
  });
  await exited;
}

async function dump(
  engine: EngineContext,
  c: ContainerRecord,
  { folder, leaveRunning }: { folder: string; leaveRunning: boolean },
): Promise<void> {
  const pid = c.run?.pid ?? 0;
  const { spec } = await gatherPlan(engine, c, { made: true });
  checkSpec(spec);
  const ownNetwork = (spec.linux?.namespaces ?? []).some(({ type }) => type === "network");
  const cgroupMount = (names: readonly string[]): string | undefined => {
    const { v1, v2 } = engine.runtime.kernel.cgroup;
    if (names.includes("")) return v2?.path;
    return [...v1].find(([name]) => names.includes(name))?.[1];
  };
  const facts = await readFacts({ containerId: c.id, pid, spec, cgroupMount, ownNetwork });
  await writeFile(join(folder, FACTS_FILE), JSON.stringify(facts), { mode: 0o600 });
  const workFolder = join(engine.paths.container(c.id).dir, "criu");
  await mkdir(workFolder, { recursive: true, mode: 0o700 });
  const o = { pid, folder, workFolder, leaveRunning, more: ENGINE_WORDS };
  await runDump(dumpArguments(facts, o), workFolder);
  // A CRIU that says it succeeded and wrote nothing would be no checkpoint.
  if ((await readdir(folder)).length < 2) {
    throw new GantryError("internal", `criu wrote nothing into ${folder}`);
  }
}
