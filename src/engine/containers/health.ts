// Health checks: a probe is an exec, run at intervals by docker's rules. During the start period
// failures do not count and the start interval applies until the first success.

import { randomBytes } from "node:crypto";
import { messageOf } from "../../base/index.ts";
import type { HealthConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { HealthResult } from "../contract.ts";
import { millisecondsOf, timestamp } from "../timestamps.ts";
import { announce } from "./announce.ts";
import { launchExec } from "./exec.ts";
import { remember } from "./exit.ts";
import type { ExecInstance } from "./live.ts";
import type { ContainerRecord, HealthFacts } from "./record.ts";
import { SIGKILL } from "./signals.ts";

const NS_PER_MS = 1e6;
const INTERVAL_MS = 30_000;
const TIMEOUT_MS = 30_000;
const START_INTERVAL_MS = 5_000;
const RETRIES = 3;
const LOG_ENTRIES_MAX = 5;
const OUTPUT_BYTES_MAX = 4096;
const SHELL = ["/bin/sh", "-c"];

interface Timings {
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

/** The probe's command line; undefined where there is none. */
export function probeCommand(
  health: HealthConfig | null | undefined,
  shell: readonly string[] | null | undefined,
): string[] | undefined {
  const [kind, ...rest] = health?.Test ?? [];
  if (kind === "CMD" && rest.length > 0) return rest;
  if (kind === "CMD-SHELL" && rest.length > 0) return [...(shell ?? SHELL), rest[0]!];
  return undefined;
}

/** Begins probing the container that has just started. */
export function startHealthChecks(engine: EngineContext, c: ContainerRecord): void {
  const command = probeCommand(c.config.Healthcheck, c.config.Shell);
  if (!command) {
    delete c.health;
    return;
  }
  c.health = { status: "starting", failingStreak: 0, log: [] };
  superviseHealth(engine, c, command);
}

/** Goes on probing a container that was found running at boot. */
export function resumeHealthChecks(engine: EngineContext, c: ContainerRecord): void {
  const command = probeCommand(c.config.Healthcheck, c.config.Shell);
  if (!command) return;
  c.health ??= { status: "starting", failingStreak: 0, log: [] };
  superviseHealth(engine, c, command);
}

function superviseHealth(engine: EngineContext, c: ContainerRecord, command: string[]): void {
  const timings = timingsOf(c.config.Healthcheck ?? {});
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  engine.live.of(c.id).stopHealth = () => {
    stop.abort();
    clearTimeout(timer);
  };
  const schedule = (): void => {
    const starting = c.health?.status === "starting" && inStartPeriod(c, timings);
    timer = setTimeout(
      () => {
        void probe(engine, c, { command, timings, stop: stop.signal }).then((result) => {
          if (stop.signal.aborted || !c.health) return;
          record(engine, c, c.health, { result, timings });
          schedule();
        });
      },
      starting ? timings.startIntervalMs : timings.intervalMs,
    );
  };
  schedule();
}

function timingsOf(health: HealthConfig): Timings {
  const ms = (ns: number | undefined, otherwise: number): number =>
    ns ? ns / NS_PER_MS : otherwise;
  return {
    intervalMs: ms(health.Interval, INTERVAL_MS),
    timeoutMs: ms(health.Timeout, TIMEOUT_MS),
    startPeriodMs: ms(health.StartPeriod, 0),
    startIntervalMs: ms(health.StartInterval, START_INTERVAL_MS),
    retries: health.Retries || RETRIES,
  };
}

function inStartPeriod(c: ContainerRecord, timings: Timings): boolean {
  return Date.now() - millisecondsOf(c.startedAt) < timings.startPeriodMs;
}

/** Applies one result to the state; announces a change of status. */
function record(
  engine: EngineContext,
  c: ContainerRecord,
  health: HealthFacts,
  { result, timings }: { result: HealthResult; timings: Timings },
): void {
  const before = health.status;
  health.log = [...health.log, result].slice(-LOG_ENTRIES_MAX);
  if (result.ExitCode === 0) {
    health.failingStreak = 0;
    health.status = "healthy";
  } else if (!(health.status === "starting" && inStartPeriod(c, timings))) {
    health.failingStreak++;
    if (health.failingStreak >= timings.retries) health.status = "unhealthy";
  }
  remember(engine, c);
  if (health.status !== before) announce(engine, c, `health_status: ${health.status}`);
}

async function probe(
  engine: EngineContext,
  c: ContainerRecord,
  o: { command: string[]; timings: Timings; stop: AbortSignal },
): Promise<HealthResult> {
  const start = timestamp();
  const outcome = await runProbe(engine, c, o).catch((error) => ({
    ExitCode: -1,
    Output: messageOf(error),
  }));
  return { Start: start, End: timestamp(), ...outcome };
}

async function runProbe(
  engine: EngineContext,
  c: ContainerRecord,
  o: { command: string[]; timings: Timings; stop: AbortSignal },
): Promise<{ ExitCode: number; Output: string }> {
  const live = engine.live.of(c.id);
  const monitor = live.monitor;
  if (!monitor) return { ExitCode: -1, Output: "The container is not running" };
  const exec: ExecInstance = {
    id: randomBytes(32).toString("hex"),
    containerId: c.id,
    config: { Cmd: o.command, AttachStdout: true, AttachStderr: true },
    detachKeys: "",
    running: true,
    started: true,
    exitCode: null,
    pid: 0,
  };
  const line = o.command.join(" ");
  announce(engine, c, `exec_create: ${line}`, { execID: exec.id });
  announce(engine, c, `exec_start: ${line}`, { execID: exec.id });
  await launchExec(engine, c, exec, { monitor, hold: true, consoleSize: undefined });
  const stream = await monitor.attach(exec.id, { stdin: false, stdout: true, stderr: true });
  monitor.release(exec.id);
  let timedOut = false;
  const kill = (): void => void monitor.kill(exec.id, SIGKILL).catch(() => {});
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
    stream.destroy();
  }, o.timings.timeoutMs);
  o.stop.addEventListener("abort", kill, { once: true });
  try {
    const output = await collect(stream);
    const status = await exec.exited!;
    if (!timedOut) return { ExitCode: status.code, Output: output };
    const seconds = `${o.timings.timeoutMs / 1000}s`;
    return { ExitCode: -1, Output: `Health check exceeded timeout (${seconds}): ${output}` };
  } finally {
    clearTimeout(timer);
    o.stop.removeEventListener("abort", kill);
  }
}

/** The text in the multiplexed frames of `stream`, up to docker's limit. */
async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of stream) {
      if (total < OUTPUT_BYTES_MAX * 2) chunks.push(chunk);
      total += chunk.length;
    }
  } catch {
    // Cut by the timeout.
  }
  const all = Buffer.concat(chunks);
  const texts: Buffer[] = [];
  for (let at = 0; at + 8 <= all.length; ) {
    const length = all.readUInt32BE(at + 4);
    texts.push(all.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(texts).subarray(0, OUTPUT_BYTES_MAX).toString();
}
