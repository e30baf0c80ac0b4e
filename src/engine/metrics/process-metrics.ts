// The daemon's own process, under the names that every Prometheus client uses. Not those of the
// library: they watch the event loop with a timer that wakes an idle daemon a hundred times a
// second, and add forty series that nobody asks a container engine for.

import { readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";

const MICRO = 1e6;

export function processMetrics(registers: Registry[]): void {
  let cpuBefore = 0;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const now = (user + system) / MICRO;
      this.inc(now - cpuBefore);
      cpuBefore = now;
    },
  });
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  const startedAt = performance.timeOrigin / 1000;
  const start = "Start time of the process since unix epoch in seconds.";
  gauge("process_start_time_seconds", start, () => startedAt);
  gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () =>
    process.memoryUsage.rss(),
  );
  gauge("process_open_fds", "Number of open file descriptors.", openDescriptors);
  const limit = descriptorLimit();
  gauge("process_max_fds", "Maximum number of open file descriptors.", () => limit);
  gauge("nodejs_heap_used_bytes", "JavaScript heap in use.", () => process.memoryUsage().heapUsed);
  let before = performance.eventLoopUtilization();
  const share = "Share of the time since the last scrape in which the event loop was busy.";
  gauge("nodejs_eventloop_utilization", share, () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  });
}

function openDescriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length - 1; // one is the listing itself
  } catch {
    return 0;
  }
}

function descriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
