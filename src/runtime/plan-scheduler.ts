// process.scheduler and process.ioPriority of the OCI spec in the kernel's numbers.
// Source: include/uapi/linux/sched.h, ioprio.h; runtime-spec config.md.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciProcess } from "../spec/index.ts";

const POLICIES: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
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

type Scheduler = NonNullable<OciProcess["scheduler"]>;

function lookup(table: Readonly<Record<string, number>>, name: string, what: string): number {
  const number = Object.hasOwn(table, name) ? table[name] : undefined;
  if (number === undefined) {
    throw new GantryError("invalid", `invalid ${what}: ${JSON.stringify(name)}`);
  }
  return number;
}

export function planScheduler(scheduler: OciProcess["scheduler"]): Operation[] {
  if (!scheduler) return [];
  const { policy, nice, priority, flags = [], runtime, deadline, period } = scheduler;
  checkScheduler(scheduler);
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

/** What the kernel would take without a word and not do: a value that the policy does not have. */
function checkScheduler(scheduler: Scheduler): void {
  const { policy, nice = 0, priority = 0, runtime = 0, deadline = 0, period = 0 } = scheduler;
  const refuse = (why: string) => new GantryError("invalid", `invalid scheduler: ${why}`);
  if (policy === "SCHED_ISO") throw refuse("Linux has no SCHED_ISO");
  if (!Number.isInteger(nice) || nice < -20 || nice > 19) throw refuse(`nice ${nice}`);
  const realtime = policy === "SCHED_FIFO" || policy === "SCHED_RR";
  if (priority !== 0 && !realtime) throw refuse(`${policy} has no priority`);
  if (nice !== 0 && policy !== "SCHED_OTHER" && policy !== "SCHED_BATCH") {
    throw refuse(`${policy} has no nice value`);
  }
  if ((runtime || deadline || period) && policy !== "SCHED_DEADLINE") {
    throw refuse(`${policy} has no runtime, deadline or period`);
  }
}

export function planIoPriority(io: OciProcess["ioPriority"]): Operation[] {
  if (!io) return [];
  const { priority } = io;
  if (!Number.isInteger(priority) || priority < 0 || priority > 7) {
    throw new GantryError("invalid", `invalid ioPriority.Priority: ${priority}`);
  }
  return [{ op: "ioPriority", class: lookup(CLASSES, io.class, "ioPriority.Class"), priority }];
}
