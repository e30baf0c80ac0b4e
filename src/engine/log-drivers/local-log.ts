// The local log of a container, which its monitor writes, as the shipper reads it.

import type { EngineContext } from "../context.ts";
import { type LogInfo, markShipped, readEntries, readShipped } from "../logs/index.ts";
import type { ShippedLog } from "./shipper.ts";

export function localLog(engine: EngineContext, { id }: LogInfo): ShippedLog {
  return {
    read: ({ from, ...o }) =>
      readEntries(engine, engine.containers.find(id), { ...o, ...(from && { from }) }),
    markShipped: (cursor) => markShipped(engine, id, cursor),
    shipped: () => readShipped(engine, id),
  };
}
