// One scrape: the engine's own metrics and those of its containers. Scrapes that come at once, or
// within a second, share one collection: however many ask, it costs the same.

import { cpus, totalmem } from "node:os";
import type { EngineContext } from "../context.ts";
import type { Metrics } from "../contract.ts";
import { systemInfo } from "../system/info.ts";
import { containerMetrics } from "./container-metrics.ts";
import { EngineMetrics } from "./engine-metrics.ts";

const FRESH_MS = 1000;

export async function openMetrics(engine: EngineContext): Promise<EngineMetrics> {
  const info = await systemInfo(engine);
  const text = (field: string): string => String(info[field] ?? "");
  return new EngineMetrics(engine, {
    architecture: text("Architecture"),
    commit: engine.options.buildId,
    daemon_id: engine.id,
    graphdriver: text("Driver"),
    kernel: text("KernelVersion"),
    os: text("OperatingSystem"),
    os_type: text("OSType"),
    os_version: text("OSVersion"),
    version: engine.options.version,
    cpus: cpus().length,
    memoryBytes: totalmem(),
  });
}

/** The verb behind /metrics. */
export function scraper(engine: EngineContext, metrics: EngineMetrics): () => Promise<Metrics> {
  let latest: { at: number; answer: Promise<Metrics> } | undefined;
  const collect = async (): Promise<Metrics> => {
    const own = await metrics.registry.metrics();
    return {
      contentType: metrics.registry.contentType,
      text: own + (own.endsWith("\n") ? "" : "\n") + (await containerMetrics(engine)),
    };
  };
  return () => {
    const now = performance.now();
    if (latest === undefined || now - latest.at > FRESH_MS) {
      const answer = collect();
      answer.catch(() => (latest = undefined));
      latest = { at: now, answer };
    }
    return latest.answer;
  };
}
