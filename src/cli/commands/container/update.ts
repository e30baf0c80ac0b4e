import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { pairsToRecord } from "../../run/environment.ts";
import { RESOURCE_FLAGS } from "../../run/flags.ts";
import { parseRestartPolicy } from "../../run/policies.ts";
import { parsePublished } from "../../run/ports.ts";
import { forEach, segment } from "../each.ts";

const FLAGS = {
  ...RESOURCE_FLAGS,
  restart: { type: "string", usage: "When to restart the container after it exits" },
  "publish-add": { type: "list", usage: "Publish a port, also while the container runs" },
  "publish-rm": { type: "list", usage: "Publish a port no more: [[IP:]HOST:]CONTAINER[/PROTO]" },
  "on-unhealthy": {
    type: "string",
    usage: "What to do when the container becomes unhealthy (restart, stop, none)",
  },
  "storage-opt": { type: "list", usage: "Change the size limit of the container (size=20G)" },
} as const;

const command: Command<typeof FLAGS> = defineCommand({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Change limits of containers",
  spellings: ["container update", "update"],
  args: { min: 1 },
  flags: FLAGS,
  async run(session, { values, changed, args }) {
    if (changed.size === 0) {
      throw new GantryError(
        "invalid",
        "you must provide one or more flags when using this command",
      );
    }
    const body = {
      CpuShares: values["cpu-shares"],
      Memory: values.memory,
      NanoCpus: values.cpus,
      BlkioWeight: values["blkio-weight"],
      CpuPeriod: values["cpu-period"],
      CpuQuota: values["cpu-quota"],
      CpuRealtimePeriod: values["cpu-rt-period"],
      CpuRealtimeRuntime: values["cpu-rt-runtime"],
      CpusetCpus: values["cpuset-cpus"],
      CpusetMems: values["cpuset-mems"],
      MemoryReservation: values["memory-reservation"],
      MemorySwap: values["memory-swap"],
      ...(changed.has("pids-limit") ? { PidsLimit: values["pids-limit"] } : {}),
      RestartPolicy: parseRestartPolicy(values.restart),
      ...(changed.has("publish-add") && {
        PublishAdd: parsePublished(values["publish-add"]).bindings,
      }),
      ...(changed.has("publish-rm") && {
        PublishRemove: parsePublished(values["publish-rm"]).bindings,
      }),
      ...(changed.has("on-unhealthy") && { OnUnhealthy: values["on-unhealthy"] }),
      ...(changed.has("storage-opt") && { StorageOpt: pairsToRecord(values["storage-opt"]) }),
    };
    const client = await session.client();
    const warnings: string[] = [];
    const code = await forEach(session, args, async (name) => {
      const answer = await client.json<{ Warnings?: string[] | null }>(
        "POST",
        `/containers/${segment(name)}/update`,
        { json: body },
      );
      warnings.push(...(answer.Warnings ?? []));
      return name;
    });
    for (const warning of warnings) session.warn(warning);
    return code;
  },
});
export default command;
