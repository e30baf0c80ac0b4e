// How a run of a container ended and who had a hand in it: what is recorded at the exit, and what
// it means. An exit code of 137 alone says nothing: a limit, a stop that took too long, a kill, or
// the host's own lack of memory. Pure but for the look at the cgroup when memory ran out.

import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { humanBinarySize } from "../../base/index.ts";
import type { ExitStatus } from "../../native/index.ts";
import type { EndFacts } from "../contract.ts";
import { millisecondsOf, NEVER } from "../timestamps.ts";
import type { ContainerRecord, RunFacts } from "./record.ts";
import { SIGKILL } from "./signals.ts";

export interface MemoryAtOom {
  limitBytes?: number;
  peakBytes?: number;
  failures?: number;
}
/** What is remembered of the last run, beside its exit code and times. */
export interface EndRecord {
  /** 0: the program ended by itself. */
  signal: number;
  pid: number;
  /** Signals that were sent through the daemon, oldest first. */
  sent: SentSignal[];
  lost?: true;
  memory?: MemoryAtOom;
}
export interface SentSignal {
  signal: number;
  at: string;
}

const EXIT_LOST = 255;
const EXIT_SHELL_NOT_EXECUTABLE = 126;
const EXIT_SHELL_NOT_FOUND = 127;
const EXIT_SIGNAL = 128;
const SENT_MAX = 16;
/** No limit, as v1 writes it. */
const UNLIMITED_BYTES = 2 ** 62;

export function noteSignal(sent: SentSignal[], signal: number, at: string): void {
  sent.push({ signal, at });
  if (sent.length > SENT_MAX) sent.shift();
}

export function endRecord(
  status: ExitStatus,
  run: Pick<RunFacts, "pid">,
  { sent, memory }: { sent: readonly SentSignal[]; memory?: MemoryAtOom | undefined },
): EndRecord {
  const lost = status.code === EXIT_LOST && status.signal === 0 && status.lost === true;
  return {
    signal: status.signal,
    pid: run.pid,
    sent: [...sent],
    ...(lost && { lost }),
    ...(status.oomKilled && memory && { memory }),
  };
}

/** Read while the cgroup is still there: it goes with the container. */
export async function memoryNow(paths: Readonly<Record<string, string>>): Promise<MemoryAtOom> {
  const v1 = paths["memory"];
  const folder = v1 ?? paths[""];
  const [limit, peak, failures] = v1
    ? ["memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt"]
    : ["memory.max", "memory.peak", ""];
  const read = async (file: string | undefined) => {
    if (!file) return undefined;
    const text = await readFile(`${folder}/${file}`, "utf8").catch(() => "");
    const value = Number.parseInt(text, 10);
    return Number.isNaN(value) || value > UNLIMITED_BYTES ? undefined : value;
  };
  const [limitBytes, peakBytes, failed] = await Promise.all([limit, peak, failures].map(read));
  return {
    ...(limitBytes !== undefined && { limitBytes }),
    ...(peakBytes !== undefined && { peakBytes }),
    ...(failed !== undefined && { failures: failed }),
  };
}

export function signalName(signal: number): string {
  const found = Object.entries(constants.signals).find(([, number]) => number === signal);
  return found?.[0] ?? `signal ${signal}`;
}

/** Undefined while it runs and before its first run. */
export function endFacts(c: ContainerRecord): EndFacts | undefined {
  if (c.run || c.restarting) return undefined;
  if (c.error !== "" && c.end === undefined) return notStarted(c);
  if (c.startedAt === NEVER) return undefined;
  const end = c.end ?? { signal: 0, pid: 0, sent: [] };
  const ranMs = millisecondsOf(c.finishedAt) - millisecondsOf(c.startedAt);
  const memory = c.oomKilled ? memoryOf(c, end) : undefined;
  return {
    exitCode: c.exitCode,
    ...(end.signal > 0 && { signal: signalName(end.signal) }),
    at: c.finishedAt,
    ranSeconds: Math.max(0, Math.round(ranMs / 100) / 10),
    ...reasonOf(c, end, memory),
    ...(memory && { memory }),
  };
}

type Reason = Pick<EndFacts, "reason" | "says" | "remedy">;

function notStarted(c: ContainerRecord): EndFacts {
  return {
    exitCode: c.exitCode,
    at: "",
    ranSeconds: 0,
    reason: "not-started",
    says: `it could not be started: ${c.error}`,
    ...(c.advice?.cause && { cause: c.advice.cause }),
    ...(c.advice?.remedy?.length && { remedy: c.advice.remedy.join("; ") }),
  };
}

function memoryOf(c: ContainerRecord, end: EndRecord): MemoryAtOom {
  const limit = c.hostConfig.Memory;
  return { ...(limit ? { limitBytes: limit } : {}), ...end.memory };
}

function reasonOf(c: ContainerRecord, end: EndRecord, memory: MemoryAtOom | undefined): Reason {
  if (end.lost) {
    return {
      reason: "lost",
      says: "its monitor was killed, and the container with it: how it ended is not known",
    };
  }
  if (memory) return outOfMemory(c, end, memory);
  if (end.sent.length > 0) return endedBySomeone(c, end);
  if (end.signal === SIGKILL) {
    return {
      reason: "killed-by-others",
      says:
        "it was killed (SIGKILL), and not through this daemon: by the host's kernel, which was " +
        "out of memory, or by somebody with the right to",
      remedy: "look for 'Out of memory: Killed process' in dmesg, and set limits (-m) if so",
    };
  }
  if (end.signal > 0) {
    return { reason: "failed", says: `the program was ended by ${signalName(end.signal)}` };
  }
  if (c.exitCode === 0) return { reason: "finished", says: "the program ended without an error" };
  return { reason: "failed", says: `the program ended by itself${codeMeaning(c.exitCode)}` };
}

function codeMeaning(code: number): string {
  const shells = (what: string) => ` with exit code ${code}: shells say so where ${what}`;
  if (code === EXIT_SHELL_NOT_FOUND) return shells("a command is not found");
  if (code === EXIT_SHELL_NOT_EXECUTABLE) return shells("a file cannot be executed");
  const signal = code - EXIT_SIGNAL;
  if (signal > 0 && signal <= 64) return shells(`${signalName(signal)} ended a command`);
  return ` with exit code ${code}`;
}

function outOfMemory(c: ContainerRecord, end: EndRecord, memory: MemoryAtOom): Reason {
  const { limitBytes, peakBytes } = memory;
  const whom = end.signal === SIGKILL ? "it" : "a process in it";
  const after = end.signal === SIGKILL ? "" : `; the program then ended${codeMeaning(c.exitCode)}`;
  if (limitBytes === undefined) {
    return {
      reason: "out-of-memory",
      says: `the host was out of memory, and its kernel killed ${whom}${after}`,
      remedy: "no limit is set: set one (-m), or give the host more memory",
    };
  }
  const used = peakBytes === undefined ? "" : ` (it had used ${humanBinarySize(peakBytes)})`;
  const limit = humanBinarySize(limitBytes);
  return {
    reason: "out-of-memory",
    says: `out of memory: ${whom} reached the limit of ${limit}${used} and was killed${after}`,
    remedy:
      `raise the limit (gantry update -m ${humanBinarySize(limitBytes * 2)} --memory-swap -1, or ` +
      "run -m), or have the program use less",
  };
}

function endedBySomeone(c: ContainerRecord, { sent, signal }: EndRecord): Reason {
  const asked = sent.find((one) => one.signal !== SIGKILL);
  const killed = sent.find((one) => one.signal === SIGKILL);
  const at = (one: SentSignal) => one.at.replace(/\.\d+Z$/, "Z");
  if (signal === SIGKILL && asked && killed) {
    const grace = Math.round((millisecondsOf(killed.at) - millisecondsOf(asked.at)) / 1000);
    return {
      reason: "killed-after-grace",
      says:
        `it was asked to stop with ${signalName(asked.signal)} at ${at(asked)}, did not end ` +
        `within ${grace} s, and was killed`,
      remedy:
        "have the program end on that signal (exec in the entry script, or --init), choose " +
        "another one (--stop-signal), or give it more time (--stop-timeout)",
    };
  }
  if (signal === SIGKILL && killed) {
    return { reason: "killed-by-user", says: `it was killed by gantry at ${at(killed)}, as asked` };
  }
  if (asked) {
    const how = signal > 0 ? `ended by it` : `ended with exit code ${c.exitCode}`;
    return {
      reason: "stopped",
      says: `it was sent ${signalName(asked.signal)} at ${at(asked)} (stop or kill), and ${how}`,
    };
  }
  return { reason: "failed", says: `the program ended by itself${codeMeaning(c.exitCode)}` };
}

/** For `ps`, `run` and inspect: a phrase where an exit code says too little. */
export function shortReason(c: ContainerRecord): string | undefined {
  const end = endFacts(c);
  switch (end?.reason) {
    case "out-of-memory": {
      const limit = end.memory?.limitBytes;
      return limit ? `out of memory, limit ${humanBinarySize(limit)}` : "out of memory";
    }
    case "killed-after-grace":
      return "killed: it did not end in time when stopped";
    case "killed-by-others":
      return "killed from outside";
    default:
      return undefined;
  }
}
