// The state of a container as the runtime specification shows it (runtime.md, State), with what
// runc adds.

import type { ContainerState } from "./state-folder.ts";
import type { Status } from "./status.ts";

export interface PublicState {
  ociVersion: string;
  id: string;
  pid: number;
  status: Status;
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Record<string, string>;
  owner: string;
}

/** For hooks: the statuses that the specification knows. */
export function publicState(
  { id, bundle, spec }: ContainerState,
  status: "created" | "running" | "stopped",
) {
  const { ociVersion, annotations } = spec;
  return { ociVersion, id, status, bundle, ...(annotations && { annotations }) };
}

export function shownState(state: ContainerState, status: Status): PublicState {
  const { id, bundle, spec, created, pid, owner } = state;
  return {
    ociVersion: spec.ociVersion,
    id,
    pid: status === "stopped" ? 0 : pid,
    status,
    bundle,
    rootfs: spec.root!.path,
    created,
    ...(spec.annotations && { annotations: spec.annotations }),
    owner: owner === 0 ? "" : String(owner),
  };
}
