// Stats: docker's resource document of a container, once or every second until it is removed.

import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { NEVER, timestamp } from "../timestamps.ts";
import { type ContainerRecord, isRunning } from "./record.ts";
import { statsCollector } from "./stats-collector.ts";
import { renderStats, type StatsDocument } from "./stats-document.ts";

/** One document a second. Without `stream` one that compares with an earlier sample, or with
 * `oneShot` one that does not. A container that does not run has empty ones. */
export async function* containerStats(
  engine: EngineContext,
  ref: string,
  o: Signal & { stream: boolean; oneShot: boolean },
): AsyncGenerator<StatsDocument> {
  const c = engine.containers.find(ref);
  if (o.stream) {
    yield* statsCollector(engine).watch(c, o.signal);
    return;
  }
  if (!isRunning(c)) {
    yield renderStats(c, {}, { at: NEVER });
    return;
  }
  if (o.oneShot) {
    yield await sampleOnce(engine, c);
    return;
  }
  for await (const document of statsCollector(engine).watch(c, o.signal)) {
    if (document.preread === NEVER && isRunning(c)) continue;
    yield document;
    return;
  }
}

async function sampleOnce(engine: EngineContext, c: ContainerRecord): Promise<StatsDocument> {
  const { run } = c;
  if (!run) return renderStats(c, {}, { at: NEVER });
  const sampler = engine.runtime.openStats(run.cgroupPaths, run.pid);
  try {
    const sample = await sampler.read(await engine.runtime.readHostSample());
    return renderStats(c, sample, { at: timestamp() });
  } finally {
    await sampler.close();
  }
}
