// process.scheduler, process.ioPriority and CPU lists of the OCI spec in the kernel's numbers.
// Source: include/uapi/linux/sched.h, ioprio.h; runtime-spec config.md.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciProcess } from "../spec/index.ts";

const POLICIES: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};
const FLAGS: Readonly<Record<string, number>> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};
const CLASSES: Readonly<Record<string, number>> = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
};

function lookup(table: Readonly<Record<string, number>>, name: string, what: string): number {
  const number = table[name];
  if (number === undefined) {
    throw new GantryError("invalid", `invalid ${what}: ${JSON.stringify(name)}`);
  }
  return number;
}

export function planScheduler(scheduler: OciProcess["scheduler"]): Operation[] {
  if (!scheduler) return [];
  const { policy, nice, priority, flags = [], runtime, deadline, period } = scheduler;
  return [
    {
      op: "scheduler",
      policy: lookup(POLICIES, policy, "scheduler policy"),
      nice: nice ?? 0,
      priority: priority ?? 0,
      flags: flags.reduce((all, name) => all | lookup(FLAGS, name, "scheduler flag"), 0),
      runtime: runtime ?? 0,
      deadline: deadline ?? 0,
      period: period ?? 0,
    },
  ];
}

export function planIoPriority(io: OciProcess["ioPriority"]): Operation[] {
  if (!io) return [];
  const { priority } = io;
  if (!Number.isInteger(priority) || priority < 0 || priority > 7) {
    throw new GantryError("invalid", `invalid ioPriority.Priority: ${priority}`);
  }
  return [{ op: "ioPriority", class: lookup(CLASSES, io.class, "ioPriority.Class"), priority }];
}

/** "0-3,8" as a bit mask, for sched_setaffinity. Throws invalid. */
export function cpuMask(list: string): Uint8Array {
  const mask: number[] = [];
  for (const cpu of parseCpuList(list)) {
    while (mask.length <= cpu >> 3) mask.push(0);
    mask[cpu >> 3]! |= 1 << (cpu & 7);
  }
  // The system call takes whole longs.
  while (mask.length % 8 !== 0) mask.push(0);
  return Uint8Array.from(mask);
}

const CPU_MAX = 8191;

/** The numbers in a cpuset list such as "0-3,8". Throws invalid. */
export function parseCpuList(list: string): number[] {
  const cpus = new Set<number>();
  for (const part of list.split(",")) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || last < first || last > CPU_MAX) {
      throw new GantryError("invalid", `invalid cpu list ${JSON.stringify(list)}`);
    }
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}
