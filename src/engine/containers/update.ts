// Update: limits of a container, live where it runs, and its restart policy.

import { GantryError } from "../../base/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { resourcesOf } from "./oci-spec.ts";
import { changePublished, type PublishChange } from "./publish.ts";
import { type ContainerRecord, isRemoving } from "./record.ts";
import { checkRestartPolicy } from "./restart-policy.ts";
import { storageSize } from "./storage-size.ts";
import { validateResources } from "./validate.ts";

const UPDATABLE: readonly (keyof HostConfig)[] = [
  "BlkioWeight",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpuShares",
  "CpusetCpus",
  "CpusetMems",
  "KernelMemory",
  "Memory",
  "MemoryReservation",
  "MemorySwap",
  "NanoCpus",
  "OnUnhealthy",
  "PidsLimit",
  "RestartPolicy",
];

/** What `--cpus` has set is changed by it alone, as in docker: either would undo the other. */
function refuseSecondLimit(c: ContainerRecord, changes: Partial<HostConfig>): void {
  if (!c.hostConfig.NanoCpus || changes.NanoCpus) return;
  const which = changes.CpuPeriod ? "Period" : changes.CpuQuota ? "Quota" : undefined;
  if (which === undefined) return;
  throw new GantryError(
    "conflict",
    `Cannot update container ${c.id}: Conflicting options: CPU ${which} cannot be updated as ` +
      "NanoCPUs has already been set",
  );
}

/** Commit point: the kernel has the new limits. */
export async function updateContainer(
  engine: EngineContext,
  ref: string,
  changes: Partial<HostConfig>,
  publish: PublishChange = {},
): Promise<{ warnings: string[] }> {
  const c = engine.containers.find(ref);
  return await engine.transitions.run(c.id, async () => {
    if (isRemoving(c) || c.dead) {
      throw new GantryError(
        "conflict",
        `Cannot update container ${c.id}: container is marked for removal and cannot be "update".`,
      );
    }
    const wanted: HostConfig = { ...c.hostConfig };
    for (const key of UPDATABLE) {
      const value = changes[key];
      // Docker: a zero or an empty string means "as it was", but of processes as many as one likes.
      if (value === undefined || value === null || value === "") continue;
      if (value === 0 && key !== "PidsLimit") continue;
      if (key === "RestartPolicy" && !changes.RestartPolicy?.Name) continue;
      Object.assign(wanted, { [key]: value });
    }
    if (changes.NanoCpus) Object.assign(wanted, { CpuQuota: 0, CpuPeriod: 0 });
    refuseSecondLimit(c, changes);
    const policy = changes.RestartPolicy?.Name ?? "";
    if (c.hostConfig.AutoRemove && policy !== "" && policy !== "no") {
      const why =
        "Restart policy cannot be updated because AutoRemove is enabled for the container";
      throw new GantryError("invalid", `Cannot update container ${c.id}: ${why}`);
    }
    checkRestartPolicy(wanted);
    const { MemorySwap: swap = 0 } = c.hostConfig;
    if (changes.Memory && swap > 0 && changes.Memory > swap && !changes.MemorySwap) {
      throw new GantryError(
        "conflict",
        `Cannot update container ${c.id}: Memory limit should be smaller than already set ` +
          "memoryswap limit, update the memoryswap at the same time",
      );
    }
    const warnings = validateResources(engine, c.config, wanted, { update: true });
    // Each step is on record when it has taken effect; the one that others may refuse comes first.
    if (publish.add || publish.remove) {
      await changePublished(engine, c, publish);
      wanted.PortBindings = c.hostConfig.PortBindings ?? {};
      engine.containers.putFact(c);
    }
    const size = storageSize(changes.StorageOpt);
    if (size !== undefined) {
      await engine.storage.snapshots.resize(c.id, size);
      wanted.StorageOpt = { ...c.hostConfig.StorageOpt, ...changes.StorageOpt };
      c.hostConfig = { ...c.hostConfig, StorageOpt: wanted.StorageOpt };
      engine.containers.putFact(c);
    }
    if (c.run) {
      const { kernel } = engine.runtime;
      const before = resourcesOf(c.hostConfig, kernel);
      const host = engine.runtime.planUpdate(
        c.run.cgroupPaths,
        resourcesOf(wanted, kernel),
        before,
      );
      await engine.native.run({ host });
    }
    c.hostConfig = wanted;
    engine.containers.putFact(c);
    announce(engine, c, "update");
    return { warnings };
  });
}
