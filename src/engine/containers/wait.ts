// Wait for a container to stop, to stop once more, or to be gone.

import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { shortReason } from "./ending.ts";
import type { WaitResult } from "./live.ts";
import { type ContainerRecord, isRestarting, isRunning } from "./record.ts";

/** Of a container that has ended. */
export function waitResult(c: ContainerRecord): WaitResult {
  const reason = shortReason(c);
  return { exitCode: c.exitCode, ...(reason && { reason }) };
}

/** Registered when the returned promise resolves: an exit after that is not missed. */
export async function waitContainer(
  engine: EngineContext,
  ref: string,
  condition: "not-running" | "next-exit" | "removed",
  { signal }: Signal = {},
): Promise<{ done: Promise<WaitResult> }> {
  const c = engine.containers.find(ref);
  const live = engine.live.of(c.id);
  if (condition === "not-running" && !isRunning(c) && !isRestarting(c)) {
    return { done: Promise.resolve({ ...waitResult(c), ...(c.error && { error: c.error }) }) };
  }
  const done = new Promise<WaitResult>((resolve, reject) => {
    const register = condition === "removed" ? "onRemoval" : "onNextExit";
    const forget = live[register](resolve);
    const abandon = () => {
      forget();
      reject(signal?.reason);
    };
    if (signal?.aborted) abandon();
    else signal?.addEventListener("abort", abandon, { once: true });
  });
  // Whoever asked may be gone before it looks at the result.
  done.catch(() => {});
  return { done };
}
