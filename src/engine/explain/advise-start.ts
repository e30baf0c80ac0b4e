// Cause and remedy of a start or an exec that failed. Looking for them must never hide the
// failure itself: whatever goes wrong here, the error stays as it is.

import { type Advice, type GantryError, withAdvice } from "../../base/index.ts";
import type { PlanFailure } from "../../native/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { openRoot } from "../containers/root-source.ts";
import type { EngineContext } from "../context.ts";
import { adviseNoSpace } from "./advise-disk.ts";
import { adviseMount } from "./advise-mount.ts";
import { diagnoseExec } from "./diagnose-exec.ts";

/** The caller holds the container's transition. */
export async function adviseStart(
  engine: EngineContext,
  c: ContainerRecord,
  error: GantryError,
): Promise<GantryError> {
  try {
    return withAdvice(error, await adviceFor(engine, c, error));
  } catch (failed) {
    engine.log.debug("Failed to find the cause of a failed start", { id: c.id, error: failed });
    return error;
  }
}

/** Monitors outlive daemons, and an upgrade may be too far for them. */
function olderMonitor(c: ContainerRecord): Advice {
  return {
    cause: `container ${c.name} was started by another version of Gantry than the daemon is of`,
    remedy: [`restart the container: gantry restart ${c.name}`],
  };
}

async function adviceFor(
  engine: EngineContext,
  c: ContainerRecord,
  error: GantryError,
): Promise<Advice | undefined> {
  const failure = error.detail as unknown as Partial<PlanFailure>;
  const { operation, errno = "" } = failure;
  if (errno === "ENOSPC" || errno === "EDQUOT") return adviseNoSpace(engine, error);
  if (error.message.includes("malformed plan")) return olderMonitor(c);
  if (operation?.op === "moveMount" || operation?.op === "openTree") {
    return adviseMount(c, operation, errno);
  }
  if (operation?.op !== "execve") return undefined;
  const root = await openRoot(engine, c, { held: true });
  try {
    const { argv, env } = operation;
    const cwd = c.config.WorkingDir || "/";
    const uid = Number(/^\d+/.exec(c.config.User ?? "")?.[0] ?? 0);
    return await diagnoseExec(engine, root.source, { argv, env, cwd, errno, uid });
  } finally {
    await root.release();
  }
}
