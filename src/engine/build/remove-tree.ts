// Removes a folder of a build's: a context that was unpacked, a cache mount. They may hold more
// files than go within the time that any other plan has.

import type { EngineContext } from "../context.ts";

/** A toolchain of 40,000 files took longer than half a minute on a busy disk. What is left then
 * goes at the next boot. */
const REMOVAL_DEADLINE_MS = 600_000;

/** One that is missing is no error. */
export async function removeTree(
  { native }: Pick<EngineContext, "native">,
  path: string,
): Promise<void> {
  const host = [{ op: "removeTree" as const, path, missingOk: true }];
  await native.run({ host, deadlineMs: REMOVAL_DEADLINE_MS });
}
