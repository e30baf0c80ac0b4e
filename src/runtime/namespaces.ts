// The namespaces of a container: which are new (flags of clone, or of unshare where the order
// matters) and which are joined by path, and at what point of the plan.

import { GantryError } from "../base/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { checkUserMaps } from "./id-maps.ts";
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

/** Throws invalid for unknown, double or impossible namespaces, and for settings of namespaces that
 * the container has not. */
export function namespacesOf(linux: OciLinux | undefined): Namespaces {
  const wanted = new Map<NamespaceType, string>();
  for (const { type, path = "" } of linux?.namespaces ?? []) {
    const quoted = JSON.stringify(type);
    if (!Object.hasOwn(NAMESPACE_FLAGS, type)) throw invalid(`namespace ${quoted} does not exist`);
    const known = type as NamespaceType;
    if (wanted.has(known)) throw invalid(`malformed spec file: duplicated ns ${quoted}`);
    if (path !== "" && !path.startsWith("/")) {
      throw invalid(`namespace ${quoted}: the path ${JSON.stringify(path)} is not absolute`);
    }
    wanted.set(known, path);
  }
  if (!wanted.has("mount")) throw invalid("a container needs a mount namespace of its own");
  const isNew = (type: NamespaceType) => wanted.get(type) === "";
  const user = isNew("user") ? "new" : wanted.has("user") ? "joined" : "none";
  checkUserMaps(linux ?? {}, user);
  checkTimeOffsets(linux, wanted.get("time"));
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

const invalid = (message: string) => new GantryError("invalid", message);

function checkTimeOffsets(linux: OciLinux | undefined, path: string | undefined): void {
  const offsets = Object.keys(linux?.timeOffsets ?? {});
  if (offsets.length === 0) return;
  if (path === undefined) {
    throw invalid(
      "time namespace offsets specified, but time namespace isn't enabled in the config",
    );
  }
  if (path !== "") {
    throw invalid("time namespace offsets can only be set in a new time namespace");
  }
  const unknown = offsets.find((clock) => clock !== "monotonic" && clock !== "boottime");
  if (unknown !== undefined) {
    throw invalid(`timeOffsets: there is no clock ${JSON.stringify(unknown)}`);
  }
}
