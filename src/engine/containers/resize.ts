// Resize the terminal of a container.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { isRunning } from "./record.ts";

export async function resizeContainer(
  engine: EngineContext,
  ref: string,
  rows: number,
  columns: number,
): Promise<void> {
  const c = engine.containers.find(ref);
  const { monitor } = engine.live.of(c.id);
  if (!isRunning(c) || !monitor) {
    throw new GantryError("conflict", `container ${c.id} is not running`);
  }
  if (!c.config.Tty) return;
  await monitor.resize("", rows, columns);
  announce(engine, c, "resize", { height: String(rows), width: String(columns) });
}
