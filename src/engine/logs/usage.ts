// What logs take on disk now: of one container, for metrics, and of all, beside the budget that the
// keeper holds them to.

import type { EngineContext } from "../context.ts";
import type { LogInfo } from "./attributes.ts";
import { fileBytes } from "./generations.ts";
import { logPlace } from "./policy.ts";
import { listSpool } from "./spool.ts";

/** Bytes of all files of a log, as they are: rotated ones may be compressed. */
export async function logBytes(engine: EngineContext, c: LogInfo): Promise<number> {
  const place = logPlace(c, engine.paths.container(c.id).dir);
  if (!place) return 0;
  let bytes = 0;
  for (const { path } of await listSpool(place.path)) bytes += await fileBytes(path);
  return bytes;
}

/** One container after the other: there may be many. A budget of 0 is none. */
export async function logUsage(
  engine: EngineContext,
): Promise<{ TotalSize: number; Budget: number }> {
  let bytes = 0;
  for (const c of engine.containers.all()) bytes += await logBytes(engine, c);
  return { TotalSize: bytes, Budget: engine.logs.usage().budgetBytes };
}
