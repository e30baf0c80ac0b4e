// --systemd-cgroup: the container's cgroup is a scope that systemd makes (src/systemd), from
// cgroupsPath as "slice:prefix:name". The plan is the same as ever, in a folder that is there.

import { dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import { nativeProgramPath, type Operation } from "../native/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { cgroupFiles, type Scope, SystemdUnits, scopeOf } from "../systemd/index.ts";
import { withCgroupPath } from "./bundle.ts";
import type { CommandContext } from "./command.ts";
import type { ContainerState } from "./state-folder.ts";

/** Undefined without --systemd-cgroup; throws invalid, and unavailable where version 1 is. */
export function scopeFor(
  { kernel, systemdCgroup }: CommandContext,
  id: string,
  spec: OciSpec,
): Scope | undefined {
  if (!systemdCgroup) return undefined;
  if (kernel.cgroup.v1.size > 0 || !kernel.cgroup.v2) {
    throw new GantryError(
      "unavailable",
      "--systemd-cgroup needs cgroup v2 alone, and this host has version 1: use cgroupfs " +
        "(containerd: SystemdCgroup = false, podman: --cgroup-manager cgroupfs)",
    );
  }
  return scopeOf(spec.linux?.cgroupsPath || `:gantry:${id}`);
}

/** What the planner has to know of a scope. */
export function inScope(spec: OciSpec, id: string, scope: Scope | undefined) {
  if (!scope) return { spec: withCgroupPath(spec, id) };
  const linux = { ...spec.linux, cgroupsPath: scope.path };
  return { spec: { ...spec, linux }, preparedParents: new Set([dirname(scope.path)]) };
}

/** Makes the scope, which is there until the result is disposed of or a process has entered. */
export async function holdScope(
  scope: Scope,
  state: ContainerState,
  operations: readonly Operation[],
): Promise<AsyncDisposable> {
  await using units = await SystemdUnits.connect({ holder: nativeProgramPath });
  const files = cgroupFiles(operations, folderOf(state));
  return await units.start(scope, { description: `gantry container ${state.id}`, files });
}

/** Tells systemd of limits that were written. */
export async function tellLimits(
  state: ContainerState,
  operations: readonly Operation[],
): Promise<void> {
  if (state.unit === undefined) return;
  await using units = await SystemdUnits.connect({ holder: nativeProgramPath });
  await units.setLimits(state.unit, cgroupFiles(operations, folderOf(state)));
}

/** When nothing is in it any more. */
export async function endScope({ unit }: ContainerState): Promise<void> {
  if (unit === undefined) return;
  await using units = await SystemdUnits.connect({ holder: nativeProgramPath });
  await units.stop(unit);
}

const folderOf = ({ cgroupPaths }: ContainerState) => cgroupPaths[""] ?? "";
