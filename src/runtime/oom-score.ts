// Whether a wish for oom_score_adj is passed on to the kernel.

import type { KernelFeatures } from "./contract.ts";

const CAP_SYS_RESOURCE = 1n << 24n;

/** Docker writes its default 0 always. Without CAP_SYS_RESOURCE the score can only be raised; the
 * engine's default that cannot be reached is left, an explicit wish fails in the kernel. */
export function canSetOomScore(
  kernel: KernelFeatures,
  score: number,
  { explicit }: { explicit: boolean },
): boolean {
  if (explicit) return true;
  const own = kernel.oomScoreAdj ?? 0;
  return score !== 0 || own <= 0 || (kernel.heldCapabilities & CAP_SYS_RESOURCE) !== 0n;
}
