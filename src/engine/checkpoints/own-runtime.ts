// Checkpoints are of containers that our own runtime has made: what another one keeps beside its
// processes (its state, its bundle) is not ours to write or to bring back.

import { GantryError } from "../../base/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { foreignRuntime } from "../runtimes/foreign.ts";

/** Throws not-implemented for a container of another runtime. */
export function checkOwnRuntime(engine: EngineContext, c: ContainerRecord): void {
  if (foreignRuntime(engine, c) === undefined) return;
  const name = c.hostConfig.Runtime ?? "";
  const message = `checkpoints of containers of the runtime ${name} are not supported`;
  throw new GantryError("not-implemented", message);
}
