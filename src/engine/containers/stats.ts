// Stats: docker's resource document of a container, once or every second while it runs.

import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { NEVER, timestamp } from "../timestamps.ts";
import { type ContainerRecord, isRunning } from "./record.ts";

const INTERVAL_MS = 1000;

type Sample = Record<string, unknown>;

/** One document a second; with `oneShot` one without a previous sample to compare with. */
export async function* containerStats(
  engine: EngineContext,
  ref: string,
  o: Signal & { stream: boolean; oneShot: boolean },
): AsyncGenerator<unknown> {
  const c = engine.containers.find(ref);
  if (!isRunning(c) && !o.stream) {
    yield render(c, {}, emptyCpu, NEVER, NEVER);
    return;
  }
  let before: Sample = {};
  let readBefore = NEVER;
  if (!o.stream && !o.oneShot) {
    before = await read(engine, c);
    readBefore = timestamp();
    await pause(INTERVAL_MS, o.signal);
  }
  for (;;) {
    const sample = await read(engine, c);
    const now = timestamp();
    yield render(c, sample, before["cpu_stats"] ?? emptyCpu, now, readBefore);
    if (!o.stream || !isRunning(c)) return;
    before = sample;
    readBefore = now;
    await pause(INTERVAL_MS, o.signal);
    if (o.signal?.aborted) return;
  }
}

const emptyCpu = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

const emptyBlkio = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

async function read(engine: EngineContext, c: ContainerRecord): Promise<Sample> {
  if (!c.run) return {};
  return await engine.runtime
    .readStats(c.run.cgroupPaths, c.run.pid, engine.native)
    .catch(() => ({}));
}

function render(
  c: ContainerRecord,
  sample: Sample,
  precpu: unknown,
  readAt: string,
  readBefore: string,
): unknown {
  return {
    name: `/${c.name}`,
    id: c.id,
    read: readAt,
    preread: readBefore,
    num_procs: 0,
    pids_stats: {},
    storage_stats: {},
    memory_stats: {},
    cpu_stats: emptyCpu,
    ...sample,
    // The lists that only the CFQ scheduler filled are still expected to be named.
    blkio_stats: { ...emptyBlkio, ...(sample["blkio_stats"] as object | undefined) },
    precpu_stats: precpu,
  };
}

/** A sampling clock, not a wait for an event; ends early when the caller goes away. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
