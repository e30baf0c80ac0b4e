// A sample in the shape of Docker's answer, with the CPU numbers of the sample before it.

import { NEVER } from "../timestamps.ts";
import type { ContainerRecord } from "./record.ts";

export type Sample = Record<string, unknown>;
/** Never changed once made: it goes to every client that watches. */
export type StatsDocument = Readonly<Record<string, unknown>> & {
  readonly read: string;
  readonly preread: string;
};

const EMPTY_CPU = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

const EMPTY_BLKIO = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

export function renderStats(
  c: ContainerRecord,
  sample: Sample,
  { at, before }: { at: string; before?: { sample: Sample; at: string } | undefined },
): StatsDocument {
  return {
    name: `/${c.name}`,
    id: c.id,
    read: at,
    preread: before?.at ?? NEVER,
    num_procs: 0,
    pids_stats: {},
    storage_stats: {},
    memory_stats: {},
    cpu_stats: EMPTY_CPU,
    ...sample,
    blkio_stats: { ...EMPTY_BLKIO, ...(sample["blkio_stats"] as object | undefined) },
    precpu_stats: before?.sample["cpu_stats"] ?? EMPTY_CPU,
  };
}
