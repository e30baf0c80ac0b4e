// When a container that exited is started again: docker's policies and its back-off.

import { GantryError } from "../../base/index.ts";
import type { HostConfig } from "../../spec/index.ts";

const DELAY_FIRST_MS = 100;
const DELAY_MAX_MS = 60_000;
/** A run of this length counts as a success: the back-off starts anew. */
const STABLE_RUN_MS = 10_000;

export interface ExitFacts {
  exitCode: number;
  restartCount: number;
  /** A user asked for this exit (stop, kill, restart). */
  manuallyStopped: boolean;
}

/** Whether the policy wants the container started again after this exit. */
export function wantsRestart(policy: HostConfig["RestartPolicy"], exit: ExitFacts): boolean {
  if (exit.manuallyStopped) return false;
  switch (policy?.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return (
        exit.exitCode !== 0 &&
        (policy.MaximumRetryCount === 0 || exit.restartCount < policy.MaximumRetryCount)
      );
    default:
      return false;
  }
}

/** Whether the policy wants the container started when the daemon comes up. Unlike at run time,
 * `always` wins over an earlier manual stop. */
export function wantsStartAtBoot(policy: HostConfig["RestartPolicy"], exit: ExitFacts): boolean {
  if (policy?.Name === "always") return true;
  return wantsRestart(policy, exit);
}

/** The delay before the next start, from the delay before the run that just ended. */
export function nextDelayMs(previousDelayMs: number, ranMs: number): number {
  if (previousDelayMs === 0 || ranMs >= STABLE_RUN_MS) return DELAY_FIRST_MS;
  return Math.min(previousDelayMs * 2, DELAY_MAX_MS);
}

/** Throws invalid with docker's wording when the policy is contradictory. */
export function checkRestartPolicy(host: HostConfig): void {
  const policy = host.RestartPolicy;
  if (!policy) return;
  const retries = policy.MaximumRetryCount ?? 0;
  switch (policy.Name) {
    case "always":
    case "unless-stopped":
    case "no":
    case "":
      if (retries !== 0) throw bad("maximum retry count can only be used with 'on-failure'");
      break;
    case "on-failure":
      if (retries < 0) throw bad("maximum retry count cannot be negative");
      break;
    default:
      throw bad(
        `unknown policy '${policy.Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
      );
  }
  if (host.AutoRemove && policy.Name !== "" && policy.Name !== "no") {
    throw new GantryError("invalid", "can't create 'AutoRemove' container with restart policy");
  }
}

const bad = (why: string): GantryError =>
  new GantryError("invalid", `invalid restart policy: ${why}`);
