// Health checks: a container is probed at intervals while it runs (health-rules.ts says what the
// results mean), and where it was asked for, a container that became unhealthy is restarted or
// stopped. Probes of one container never overlap; a paused container is not probed.

import { messageOf } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { HealthResult } from "../contract.ts";
import { millisecondsOf, timestamp } from "../timestamps.ts";
import { announce } from "./announce.ts";
import { remember } from "./exit.ts";
import { probeCommand } from "./health-command.ts";
import {
  type HealthTimings,
  healthTimings,
  probeDelayMs,
  unhealthyReaction,
  withResult,
} from "./health-rules.ts";
import { probeServer } from "./health-servers.ts";
import { type HealthTarget, healthTarget } from "./health-target.ts";
import { type ContainerRecord, isPaused, isRunning } from "./record.ts";
import { restartContainer } from "./restart.ts";
import { stopContainer } from "./stop.ts";

/** Begins probing the container that has just started. */
export function startHealthChecks(engine: EngineContext, c: ContainerRecord): void {
  const target = healthTarget(c.config.Healthcheck, c.config.Shell);
  if (!target) {
    delete c.health;
    return;
  }
  // Results of the run before stay in the log, as docker has it.
  c.health = { status: "starting", failingStreak: 0, log: c.health?.log ?? [] };
  superviseHealth(engine, c, target);
}

/** Goes on probing a container that was found running at boot. */
export function resumeHealthChecks(engine: EngineContext, c: ContainerRecord): void {
  const target = healthTarget(c.config.Healthcheck, c.config.Shell);
  if (!target) return;
  c.health ??= { status: "starting", failingStreak: 0, log: [] };
  superviseHealth(engine, c, target);
}

/** The run has ended: docker shows what does not run as unhealthy, and clients wait for that. */
export function endHealthChecks(engine: EngineContext, c: ContainerRecord): void {
  const live = engine.live.of(c.id);
  live.stopHealth?.();
  live.stopHealth = undefined;
  if (c.health) c.health.status = "unhealthy";
}

function superviseHealth(engine: EngineContext, c: ContainerRecord, target: HealthTarget): void {
  const timings = healthTimings(c.config.Healthcheck ?? {});
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  engine.live.of(c.id).stopHealth = () => {
    stop.abort();
    clearTimeout(timer);
  };
  const turn = async (): Promise<void> => {
    if (!isPaused(c)) {
      const result = await probe(engine, c, { target, timings, stop: stop.signal });
      if (stop.signal.aborted) return;
      // A probe that was frozen with its container says nothing.
      if (!isPaused(c)) record(engine, c, { result, timings });
    }
    schedule();
  };
  const schedule = (): void => {
    const ranMs = Date.now() - millisecondsOf(c.startedAt);
    const delayMs = probeDelayMs(c.health?.status ?? "starting", ranMs, timings);
    timer = setTimeout(() => void turn(), delayMs);
  };
  schedule();
}

/** Applies one result to the state; announces a change of status. */
function record(
  engine: EngineContext,
  c: ContainerRecord,
  { result, timings }: { result: HealthResult; timings: HealthTimings },
): void {
  if (!c.health) return;
  engine.probes.count++;
  if (result.ExitCode !== 0) engine.probes.failed++;
  const before = c.health.status;
  c.health = withResult(c.health, result, { startedAt: c.startedAt, timings });
  remember(engine, c);
  if (c.health.status === before) return;
  announce(engine, c, `health_status: ${c.health.status}`);
  if (c.health.status === "unhealthy") react(engine, c);
}

function react(engine: EngineContext, c: ContainerRecord): void {
  const reaction = unhealthyReaction(c.config, c.hostConfig);
  if (reaction === "none") return;
  engine.log.warn("A container is unhealthy", { id: c.id, reaction });
  const done = reaction === "stop" ? stopContainer(engine, c.id) : restart(engine, c);
  void done.catch((error: unknown) => {
    // Someone else may have stopped or removed it just now.
    if (!isRunning(c)) return;
    engine.log.error("Failed to act on an unhealthy container", { id: c.id, reaction, error });
  });
}

async function restart(engine: EngineContext, c: ContainerRecord): Promise<void> {
  c.restartCount++;
  await restartContainer(engine, c.id);
}

async function probe(
  engine: EngineContext,
  c: ContainerRecord,
  o: { target: HealthTarget; timings: HealthTimings; stop: AbortSignal },
): Promise<HealthResult> {
  const Start = timestamp();
  const limits = { timeoutMs: o.timings.timeoutMs, signal: o.stop };
  const { target } = o;
  const asked =
    target.kind === "command"
      ? probeCommand(engine, c, { ...limits, command: target.command })
      : probeServer(target, { ...limits, native: engine.native, pid: c.run?.pid ?? 0 });
  const outcome = await asked.catch((error) => ({ ExitCode: -1, Output: messageOf(error) }));
  return { Start, End: timestamp(), ...outcome };
}
