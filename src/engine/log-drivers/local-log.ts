// The local log of a container, which its monitor writes, as the shipper reads it.

import type { EngineContext } from "../context.ts";
import {
  type LogCursor,
  type LogInfo,
  markShipped,
  readEntries,
  readShipped,
  releaseShipped,
} from "../logs/index.ts";
import type { ShippedLog } from "./shipper.ts";

export function localLog(engine: EngineContext, { id }: LogInfo): ShippedLog {
  let marked: string | undefined;
  return {
    read: ({ from, ...o }) =>
      readEntries(engine, engine.containers.find(id), { ...o, ...(from && { from }) }),
    async markShipped(cursor) {
      await markShipped(engine, id, cursor);
      const generation = generationOf(cursor);
      if (generation === marked) return;
      await releaseShipped(engine, id, cursor);
      marked = generation;
    },
    shipped: () => readShipped(engine, id),
  };
}

const generationOf = (cursor: LogCursor): string => cursor.slice(0, cursor.indexOf(":"));
