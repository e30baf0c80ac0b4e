// The one worker of this daemon, as `docker buildx inspect` shows it.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CachePruneOptions } from "../engine/index.ts";
import type { worker } from "../gen/buildkit/index.ts";
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
  const platforms = await place.engine.builds.platforms();
  return {
    id: String(info["ID"] ?? ""),
    labels: LABELS,
    platforms: platforms.map(({ os, architecture, variant = "" }) => ({
      ...{ os, architecture, variant },
    })),
    gcPolicy: (await place.engine.builds.gcPolicy()).map(policyOf),
    buildkitVersion: buildkitVersion(place),
  };
}

const NS_PER_MS = 1_000_000;

function policyOf(rule: CachePruneOptions) {
  const { filters = new Map(), all = false, keepMs = 0 } = rule;
  return {
    all,
    keepDuration: BigInt(keepMs * NS_PER_MS),
    filters: [...filters].map(([name, values]) =>
      values.map((value: string) => `${name}==${value}`).join(","),
    ),
    reservedSpace: BigInt(rule.reservedBytes ?? 0),
    maxUsedSpace: BigInt(rule.maxUsedBytes ?? 0),
    minFreeSpace: BigInt(rule.minFreeBytes ?? 0),
  };
}
