// What health checks mean, by docker's rules: during the start period failures do not count and the
// start interval applies until the first success; then so many failures in a row are unhealthy.

import { GantryError, TIMER_MS_MAX } from "../../base/index.ts";
import type { ContainerConfig, HealthConfig, HostConfig } from "../../spec/index.ts";
import type { HealthResult } from "../contract.ts";
import { millisecondsOf } from "../timestamps.ts";
import type { HealthFacts } from "./record.ts";

const NS_PER_MS = 1e6;
const INTERVAL_MS = 30_000;
const TIMEOUT_MS = 30_000;
const START_INTERVAL_MS = 5_000;
const RETRIES = 3;
const LOG_ENTRIES_MAX = 5;
const OUTPUT_BYTES_MAX = 4096;

export interface HealthTimings {
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

/** The timings with docker's defaults. */
export function healthTimings(health: HealthConfig): HealthTimings {
  const ms = (ns: number | undefined, otherwise: number): number =>
    ns ? Math.min(ns / NS_PER_MS, TIMER_MS_MAX) : otherwise;
  return {
    intervalMs: ms(health.Interval, INTERVAL_MS),
    timeoutMs: ms(health.Timeout, TIMEOUT_MS),
    startPeriodMs: ms(health.StartPeriod, 0),
    startIntervalMs: ms(health.StartInterval, START_INTERVAL_MS),
    retries: health.Retries || RETRIES,
  };
}

/** How long until the next probe. */
export function probeDelayMs(
  status: HealthFacts["status"],
  ranMs: number,
  timings: HealthTimings,
): number {
  const starts = ranMs < timings.startPeriodMs && status === "starting";
  return starts ? timings.startIntervalMs : timings.intervalMs;
}

/** The facts after one more result; `startedAt` is that of the run. */
export function withResult(
  before: HealthFacts,
  result: HealthResult,
  { startedAt, timings }: { startedAt: string; timings: HealthTimings },
): HealthFacts {
  const log = [...before.log, result].slice(-LOG_ENTRIES_MAX);
  if (result.ExitCode === 0) return { status: "healthy", failingStreak: 0, log };
  const ranMs = millisecondsOf(result.Start) - millisecondsOf(startedAt);
  if (before.status === "starting" && ranMs < timings.startPeriodMs) return { ...before, log };
  const failingStreak = before.failingStreak + 1;
  const status = failingStreak >= timings.retries ? "unhealthy" : before.status;
  return { status, failingStreak, log };
}

/** Output as the log of results keeps it. */
export function limitOutput(output: Buffer): string {
  if (output.length <= OUTPUT_BYTES_MAX) return output.toString();
  return `${output.subarray(0, OUTPUT_BYTES_MAX).toString()}...`;
}

const REACTIONS = ["none", "restart", "stop"] as const;
export type UnhealthyReaction = (typeof REACTIONS)[number];
/** For clients that cannot send HostConfig.OnUnhealthy. */
export const ON_UNHEALTHY_LABEL = "gantry.on-unhealthy";

/** What to do with a container that became unhealthy; throws invalid for other words. */
export function unhealthyReaction(config: ContainerConfig, host: HostConfig): UnhealthyReaction {
  const label = config.Labels?.[ON_UNHEALTHY_LABEL];
  const wanted = host.OnUnhealthy || label || "none";
  if ((REACTIONS as readonly string[]).includes(wanted)) return wanted as UnhealthyReaction;
  const where = host.OnUnhealthy ? "OnUnhealthy" : `label ${ON_UNHEALTHY_LABEL}`;
  throw new GantryError(
    "invalid",
    `invalid ${where} '${wanted}'; use one of 'none', 'restart' or 'stop'`,
  );
}
