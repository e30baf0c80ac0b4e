// How far the log of a container is shipped: what its shipper counts in this process, and what is
// on disk. What `inspect` and `logs --status` show.

import { readFile } from "node:fs/promises";
import type { EngineContext } from "../context.ts";
import type { ContainerLogShipping } from "../contract.ts";
import { fileBytes } from "../logs/generations.ts";
import { type LogInfo, logPlace, readShipped } from "../logs/index.ts";
import { listSpool } from "../logs/spool.ts";
import type { LogShippingStatus } from "./shipping.ts";

/** By container, since this daemon took them up. For metrics: reads nothing. */
export function logShippingCounters(engine: EngineContext): ReadonlyMap<string, LogShippingStatus> {
  return engine.shipping.counters();
}

/** Undefined where no remote driver ships the log. */
export async function logShippingOf(
  engine: EngineContext,
  c: LogInfo,
): Promise<ContainerLogShipping | undefined> {
  const status = engine.shipping.status(c.id);
  const place = logPlace(c, engine.paths.container(c.id).dir);
  if (!status || !place) return undefined;
  const { error, shippedAtMs } = status;
  return {
    Driver: status.driver,
    State: status.done ? "done" : error === undefined ? "shipping" : "failing",
    ShippedLines: status.shippedLines,
    ShippedBytes: status.shippedBytes,
    WaitingBytes: await waitingBytes(engine, c, place.path),
    Retries: status.retries,
    RefusedLines: status.droppedLines,
    DroppedLines: await droppedLines(place.path),
    ...(shippedAtMs !== undefined && { ShippedAt: new Date(shippedAtMs).toISOString() }),
    ...(error !== undefined && { Error: error }),
  };
}

/** From the shipped place to the end; of compressed files what they take on disk. */
async function waitingBytes(engine: EngineContext, c: LogInfo, path: string): Promise<number> {
  const cursor = await readShipped(engine, c.id);
  const [number = 0, offset = 0] = (cursor ?? "0:0").split(":").map(Number);
  let bytes = 0;
  for (const generation of await listSpool(path)) {
    if (generation.number < number) continue;
    const size = await fileBytes(generation.path);
    bytes += generation.number === number ? Math.max(0, size - offset) : size;
  }
  return bytes;
}

/** What the monitor had no room for (mode=non-blocking, a full disk). */
async function droppedLines(path: string): Promise<number> {
  const text = await readFile(`${path}.dropped`, "utf8").catch(() => "");
  return Number.parseInt(text, 10) || 0;
}
