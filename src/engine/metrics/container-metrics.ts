// What each container uses, under the names that cAdvisor gave them, so that dashboards made for
// those fit. Series are bounded: a fixed set for each container, so many containers, so many
// interfaces; no label comes from inside a container.

import type { ContainerRecord } from "../containers/record.ts";
import { isPaused, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { type LogShippingStatus, logShippingCounters } from "../log-drivers/index.ts";
import { logBytes } from "../logs/index.ts";
import { millisecondsOf } from "../timestamps.ts";
import { Exposition, renderLabels } from "./exposition.ts";

/** Of those that run, the oldest first; what is left out is counted. */
const CONTAINERS_MAX = 1000;
const INTERFACES_MAX = 8;
const LABEL_CHARACTERS_MAX = 200;
const ID_SHOWN = 12;
const NANO = 1e9;

const FAMILIES: readonly [name: string, kind: "counter" | "gauge", help: string][] = [
  ["container_info", "gauge", "Which container it is: image and place in a compose project"],
  ["container_start_time_seconds", "gauge", "Start of the container since the epoch"],
  ["container_paused", "gauge", "Whether the container is paused"],
  ["container_health_status", "gauge", "1 for the health status that the container has"],
  ["container_restarts_total", "counter", "Restarts by its policy since it was started by a user"],
  ["container_cpu_usage_seconds_total", "counter", "Processor time used"],
  ["container_cpu_user_seconds_total", "counter", "Processor time used in user mode"],
  ["container_cpu_system_seconds_total", "counter", "Processor time used in kernel mode"],
  ["container_cpu_cfs_periods_total", "counter", "Periods of the processor limit"],
  ["container_cpu_cfs_throttled_periods_total", "counter", "Periods in which it was throttled"],
  ["container_cpu_cfs_throttled_seconds_total", "counter", "Time for which it was throttled"],
  ["container_spec_cpu_cores", "gauge", "Processors that it may use; absent without a limit"],
  ["container_memory_usage_bytes", "gauge", "Memory in use, caches included"],
  ["container_memory_working_set_bytes", "gauge", "Memory in use without inactive file caches"],
  ["container_memory_rss", "gauge", "Anonymous memory"],
  ["container_memory_cache", "gauge", "Memory of file caches"],
  ["container_memory_failcnt", "counter", "Times that usage has hit the limit"],
  ["container_spec_memory_limit_bytes", "gauge", "Memory limit; absent without one"],
  ["container_oom_events_total", "counter", "Processes killed because memory ran out"],
  ["container_processes", "gauge", "Processes and threads"],
  ["container_spec_processes", "gauge", "Limit of processes; absent without one"],
  ["container_fs_reads_bytes_total", "counter", "Bytes read from block devices"],
  ["container_fs_writes_bytes_total", "counter", "Bytes written to block devices"],
  ["container_fs_reads_total", "counter", "Reads from block devices"],
  ["container_fs_writes_total", "counter", "Writes to block devices"],
  ["container_network_receive_bytes_total", "counter", "Bytes received"],
  ["container_network_receive_packets_total", "counter", "Packets received"],
  ["container_network_receive_errors_total", "counter", "Packets received with errors"],
  ["container_network_receive_packets_dropped_total", "counter", "Received packets dropped"],
  ["container_network_transmit_bytes_total", "counter", "Bytes sent"],
  ["container_network_transmit_packets_total", "counter", "Packets sent"],
  ["container_network_transmit_errors_total", "counter", "Packets not sent for errors"],
  ["container_network_transmit_packets_dropped_total", "counter", "Packets to send dropped"],
  ["container_log_file_bytes", "gauge", "Size of the files of its log, as they are on disk"],
  ["container_log_shipped_bytes_total", "counter", "Bytes that the log driver's receiver took"],
  ["container_log_shipped_lines_total", "counter", "Lines that the log driver's receiver took"],
  ["container_log_waiting_lines", "gauge", "Lines read for the log driver, not taken yet"],
  ["container_log_retries_total", "counter", "Failed attempts of the log driver"],
  ["container_log_refused_lines_total", "counter", "Lines that the receiver refused"],
];

type Put = (name: string, value: number | undefined, more?: string) => void;

/** The text for all containers that run. */
export async function containerMetrics(engine: EngineContext): Promise<string> {
  const exposition = new Exposition();
  for (const [name, kind, help] of FAMILIES) exposition.family(name, kind, help);
  exposition.family(
    "engine_daemon_container_metrics_omitted",
    "gauge",
    `Containers beyond the first ${CONTAINERS_MAX}, which have no metrics of their own`,
  );
  addShippers(engine, exposition);
  const running = engine.containers.all().filter(isRunning);
  const shown = running.slice(0, CONTAINERS_MAX);
  exposition.add("engine_daemon_container_metrics_omitted", "", running.length - shown.length);
  for (const c of shown) {
    const logFileBytes = await logBytes(engine, c);
    if (!c.run) continue; // it has ended since
    addContainer(engine, exposition, c, { ...c.run, logFileBytes });
    await turn();
  }
  return exposition.text();
}

/** Others may run: one container takes a tenth of a millisecond, all of them would be felt. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function addContainer(
  engine: EngineContext,
  exposition: Exposition,
  c: ContainerRecord,
  {
    cgroupPaths,
    pid,
    logFileBytes,
  }: NonNullable<ContainerRecord["run"]> & {
    logFileBytes: number;
  },
): void {
  const id = c.id.slice(0, ID_SHOWN);
  const labels = renderLabels({ id, name: c.name, image: bounded(c.imageName) });
  const put: Put = (name, value, more = "") => {
    if (value !== undefined && Number.isFinite(value)) {
      exposition.add(name, more === "" ? labels : `${labels},${more}`, value);
    }
  };
  const ownNetwork = c.run!.attachments.length > 0;
  const sample = engine.runtime.sampleNow(cgroupPaths, ownNetwork ? pid : 0);
  addRecord(c, put);
  addCpu(sample.cpu_stats, put);
  addMemory(sample, put);
  put("container_log_file_bytes", logFileBytes);
  addLog(engine.shipping.status(c.id), put);
  put("container_processes", sample.pids_stats.current);
  put("container_spec_processes", sample.pids_stats.limit);
  addBlocks(sample.blkio_stats, put);
  for (const [name, one] of Object.entries(sample.networks ?? {}).slice(0, INTERFACES_MAX)) {
    addInterface(one, (metric, value) => put(metric, value, renderLabels({ interface: name })));
  }
}

/** Also of containers that have ended, whose last lines may be on their way. */
function addShippers(engine: EngineContext, exposition: Exposition): void {
  const name = "engine_daemon_log_shippers";
  exposition.family(name, "gauge", "Containers with a remote log driver, by how it does");
  const counts = { shipping: 0, failing: 0, done: 0 };
  for (const { error, done } of logShippingCounters(engine).values()) {
    counts[done ? "done" : error === undefined ? "shipping" : "failing"]++;
  }
  for (const [state, count] of Object.entries(counts)) {
    exposition.add(name, renderLabels({ state }), count);
  }
}

function addLog(status: LogShippingStatus | undefined, put: Put): void {
  put("container_log_shipped_bytes_total", status?.shippedBytes);
  put("container_log_shipped_lines_total", status?.shippedLines);
  put("container_log_waiting_lines", status?.waitingLines);
  put("container_log_retries_total", status?.retries);
  put("container_log_refused_lines_total", status?.droppedLines);
}

function addRecord(c: ContainerRecord, put: Put): void {
  const project = bounded(c.config.Labels?.["com.docker.compose.project"] ?? "");
  const service = bounded(c.config.Labels?.["com.docker.compose.service"] ?? "");
  put("container_info", 1, renderLabels({ image_id: c.imageId, project, service }));
  put("container_start_time_seconds", millisecondsOf(c.startedAt) / 1000);
  put("container_paused", isPaused(c) ? 1 : 0);
  put("container_restarts_total", c.restartCount);
  if (c.health) put("container_health_status", 1, renderLabels({ status: c.health.status }));
  const { NanoCpus, CpuQuota = 0, CpuPeriod, Memory } = c.hostConfig;
  const ofQuota = CpuQuota > 0 ? CpuQuota / (CpuPeriod || 100_000) : undefined;
  put("container_spec_cpu_cores", NanoCpus ? NanoCpus / NANO : ofQuota);
  put("container_spec_memory_limit_bytes", Memory || undefined);
}

type Sample = ReturnType<EngineContext["runtime"]["sampleNow"]>;

function addCpu({ cpu_usage, throttling_data }: Sample["cpu_stats"], put: Put): void {
  put("container_cpu_usage_seconds_total", cpu_usage.total_usage / NANO);
  put("container_cpu_user_seconds_total", cpu_usage.usage_in_usermode / NANO);
  put("container_cpu_system_seconds_total", cpu_usage.usage_in_kernelmode / NANO);
  put("container_cpu_cfs_periods_total", throttling_data.periods);
  put("container_cpu_cfs_throttled_periods_total", throttling_data.throttled_periods);
  put("container_cpu_cfs_throttled_seconds_total", throttling_data.throttled_time / NANO);
}

function addMemory({ memory_stats, oomKills }: Sample, put: Put): void {
  const { usage, stats = {}, failcnt } = memory_stats;
  if (usage === undefined) return;
  const inactive = stats["total_inactive_file"] ?? stats["inactive_file"] ?? 0;
  put("container_memory_usage_bytes", usage);
  put("container_memory_working_set_bytes", Math.max(0, usage - inactive));
  put("container_memory_rss", stats["total_rss"] ?? stats["anon"]);
  put("container_memory_cache", stats["total_cache"] ?? stats["file"]);
  put("container_memory_failcnt", failcnt);
  put("container_oom_events_total", oomKills);
}

function addBlocks(
  { io_service_bytes_recursive: bytes, io_serviced_recursive: calls }: Sample["blkio_stats"],
  put: Put,
): void {
  const sum = (entries: typeof bytes, wanted: string): number =>
    (entries ?? [])
      .filter(({ op }) => op.toLowerCase() === wanted)
      .reduce((total, { value }) => total + value, 0);
  put("container_fs_reads_bytes_total", sum(bytes, "read"));
  put("container_fs_writes_bytes_total", sum(bytes, "write"));
  put("container_fs_reads_total", sum(calls, "read"));
  put("container_fs_writes_total", sum(calls, "write"));
}

function addInterface(one: NonNullable<Sample["networks"]>[string], put: Put): void {
  put("container_network_receive_bytes_total", one.rx_bytes);
  put("container_network_receive_packets_total", one.rx_packets);
  put("container_network_receive_errors_total", one.rx_errors);
  put("container_network_receive_packets_dropped_total", one.rx_dropped);
  put("container_network_transmit_bytes_total", one.tx_bytes);
  put("container_network_transmit_packets_total", one.tx_packets);
  put("container_network_transmit_errors_total", one.tx_errors);
  put("container_network_transmit_packets_dropped_total", one.tx_dropped);
}

const bounded = (text: string): string => text.slice(0, LABEL_CHARACTERS_MAX);
