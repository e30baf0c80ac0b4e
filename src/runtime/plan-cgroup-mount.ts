// Mounts of type "cgroup": v1 as every hierarchy in a tmpfs of its own, as Docker shows it; v2 as
// the one tree. With a cgroup namespace they are new mounts whose root is the container's cgroup,
// without one binds of its folders.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { CgroupPlace } from "./cgroup/places.ts";
import { MOUNT_ATTR, MS, O } from "./kernel-numbers.ts";
import type { MountOptions } from "./mount-options.ts";
import { type PlanBuilder, SLOT } from "./plan-builder.ts";

export interface CgroupMountContext {
  builder: PlanBuilder;
  places: readonly CgroupPlace[];
  cgroupNamespace: boolean;
  /** Called before the first thing that needs the process to be in its cgroup. */
  awaitAttached(): void;
}

const root = SLOT.rootfs;
const slot = SLOT.temporary;

export function planCgroupMount(
  context: CgroupMountContext,
  destination: string,
  options: MountOptions,
): void {
  const { places, cgroupNamespace, builder } = context;
  if (cgroupNamespace) context.awaitAttached();
  const v1 = places.filter(({ version }) => version === 1);
  if (v1.length === 0) {
    const unified = places.find(({ version }) => version === 2);
    if (!unified) throw new GantryError("invalid", "no cgroups are mounted on this host");
    const data = ["source=cgroup"];
    const attr = options.set;
    builder.container.push(
      ...(cgroupNamespace
        ? [{ op: "fsmount", fstype: "cgroup2", options: data, attr, to: slot } as const]
        : clone(unified.path, attr)),
      ...attach(destination),
    );
    return;
  }
  const attr = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
  const data = ["source=tmpfs", "mode=755"];
  builder.container.push(
    { op: "fsmount", fstype: "tmpfs", options: data, attr, to: slot },
    ...attach(destination),
    ...v1.flatMap((place) => hierarchy(context, place, { destination, attr: options.set })),
  );
  if (options.readonly) {
    builder.container.push(
      { op: "open", root, path: destination, flags: O.PATH, to: slot },
      { op: "mountAttr", slot, set: MOUNT_ATTR.RDONLY },
      { op: "close", slot },
    );
  }
}

function hierarchy(
  { cgroupNamespace }: CgroupMountContext,
  place: CgroupPlace,
  { destination, attr }: { destination: string; attr: number },
): Operation[] {
  const name = place.controllers.map((c) => c.replace(/^name=/, "")).join(",");
  const data = ["source=cgroup", ...place.controllers];
  const links = place.controllers.length > 1 ? place.controllers : [];
  return [
    ...(cgroupNamespace
      ? [{ op: "fsmount", fstype: "cgroup", options: data, attr, to: slot } as const]
      : clone(place.path, attr)),
    ...attach(`${destination}/${name}`),
    ...links.map((link): Operation => {
      return { op: "symlink", root, target: name, path: `${destination}/${link}` };
    }),
  ];
}

const clone = (path: string, set: number): Operation[] => [
  { op: "openTree", path, to: slot },
  { op: "mountAttr", slot, set, propagation: MS.PRIVATE },
];

const attach = (path: string): Operation[] => [
  { op: "moveMount", slot, root, path, make: "dir" },
  { op: "close", slot },
];
