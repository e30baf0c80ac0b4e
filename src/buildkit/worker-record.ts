// The one worker of this daemon, as `docker buildx inspect` shows it.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { worker } from "../gen/buildkit/index.ts";
import { hostPlatform } from "./job-attributes.ts";
import type { ServicePlace } from "./make-job.ts";

/** By this one `docker buildx` knows an image store that takes whole indexes: without it, the
 * client itself refuses several platforms, attestations, archives and exports of caches. */
const LABELS = { "org.mobyproject.buildkit.worker.snapshotter": "overlayfs" };

export function buildkitVersion({ serverVersion }: Pick<ServicePlace, "serverVersion">) {
  return { package: "gantry", version: `v${serverVersion}`, revision: "" };
}

export async function workerRecord(
  place: ServicePlace,
): Promise<MessageInitShape<typeof worker.WorkerRecordSchema>> {
  const info = await place.engine.system.info();
  const own = hostPlatform();
  const { os, architecture, variant = "" } = own;
  return {
    id: String(info["ID"] ?? ""),
    labels: LABELS,
    platforms: [{ os, architecture, variant }],
    buildkitVersion: buildkitVersion(place),
  };
}
