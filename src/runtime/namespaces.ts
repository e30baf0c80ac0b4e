// The namespaces of a container: which are new (flags of clone, or of unshare where the order
// matters) and which are joined by path, and at what point of the plan.

import { GantryError } from "../base/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { CLONE } from "./kernel-numbers.ts";

export type NamespaceType =
  | "pid"
  | "network"
  | "ipc"
  | "uts"
  | "mount"
  | "user"
  | "cgroup"
  | "time";

export const NAMESPACE_FLAGS: Readonly<Record<NamespaceType, number>> = {
  pid: CLONE.NEWPID,
  network: CLONE.NEWNET,
  ipc: CLONE.NEWIPC,
  uts: CLONE.NEWUTS,
  mount: CLONE.NEWNS,
  user: CLONE.NEWUSER,
  cgroup: CLONE.NEWCGROUP,
  time: CLONE.NEWTIME,
};

export interface Namespaces {
  /** Flags for clone: everything new but cgroup and time. */
  cloneFlags: number;
  has(type: NamespaceType): boolean;
  isNew(type: NamespaceType): boolean;
  joined: readonly { type: NamespaceType; path: string }[];
}

/** Throws invalid for unknown, double or impossible namespaces. */
export function namespacesOf(linux: OciLinux | undefined): Namespaces {
  const wanted = new Map<NamespaceType, string>();
  for (const { type, path = "" } of linux?.namespaces ?? []) {
    if (!(type in NAMESPACE_FLAGS)) {
      throw new GantryError("invalid", `namespace ${JSON.stringify(type)} does not exist`);
    }
    const known = type as NamespaceType;
    if (wanted.has(known)) {
      throw new GantryError(
        "invalid",
        `malformed spec file: duplicated ns ${JSON.stringify(type)}`,
      );
    }
    wanted.set(known, path);
  }
  if (wanted.get("mount") !== "") {
    throw new GantryError("invalid", "a container needs a mount namespace of its own");
  }
  if (wanted.has("user") && wanted.get("user") !== "") {
    throw new GantryError("not-implemented", "joining a user namespace is not supported yet");
  }
  const isNew = (type: NamespaceType) => wanted.get(type) === "";
  let cloneFlags = 0;
  for (const type of wanted.keys()) {
    // The cgroup namespace must be made in the container's cgroup, the time namespace before its
    // first process.
    if (isNew(type) && type !== "cgroup" && type !== "time") cloneFlags |= NAMESPACE_FLAGS[type];
  }
  return {
    cloneFlags,
    has: (type) => wanted.has(type),
    isNew,
    joined: [...wanted].filter(([, path]) => path !== "").map(([type, path]) => ({ type, path })),
  };
}
