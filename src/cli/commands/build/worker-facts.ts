// What the daemon says of itself as a builder.

import type { worker } from "../../../gen/buildkit/index.ts";

export function platformTexts(workers: readonly worker.WorkerRecord[]): string[] {
  const all = workers.flatMap(({ platforms }) =>
    platforms.map(({ os, architecture, variant }) =>
      [os, architecture, variant].filter((part) => part !== "").join("/"),
    ),
  );
  return [...new Set(all)];
}

export function versionText(version: worker.BuildkitVersion | undefined): string {
  return version?.version ?? "";
}
