// Whether a genuine Debian can be made here: the host's own apt, its keys and a mirror that
// answers.

import { existsSync } from "node:fs";
import { hostSources } from "../../src/engine/bootstrap/apt-root.ts";

const REACH_DEADLINE_MS = 15_000;

/** For a test's `skip`: false when there is apt and a mirror with bookworm. */
export async function whyNoDebian(): Promise<string | false> {
  if (!existsSync("/usr/bin/apt-get")) return "needs apt";
  const sources = await hostSources();
  const main = sources.find(
    ({ suites, uris }) => suites[0] === "bookworm" && /debian/.test(uris[0]!),
  );
  if (main === undefined) return "needs a host whose apt knows Debian bookworm";
  try {
    const url = `${main.uris[0]}/dists/bookworm/InRelease`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(REACH_DEADLINE_MS) });
    await answer.body?.cancel();
    return answer.ok ? false : `needs a mirror that has bookworm: it answers ${answer.status}`;
  } catch {
    return "needs a mirror that can be reached";
  }
}
