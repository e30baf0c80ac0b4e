// The host's cgroup hierarchies, from mountinfo alone: each v1 mount names its controllers among
// its superblock options ("cpu,cpuacct", "name=systemd"), whatever its folder is called.

import type { CgroupLayout } from "../contract.ts";
import type { MountInfo } from "../mountinfo.ts";

const NOT_CONTROLLERS = new Set(["rw", "ro", "clone_children", "xattr", "noprefix", "none"]);

/** `v2Controllers` is cgroup.controllers of the unified hierarchy, "" where there is none. */
export function cgroupLayout(mounts: readonly MountInfo[], v2Controllers: string): CgroupLayout {
  const v1 = new Map<string, string>();
  let v2Path: string | undefined;
  // A bind of a part of a hierarchy is not the hierarchy – unless there is nothing else, as in a
  // container without a cgroup namespace.
  const whole = (mount: MountInfo) => mount.root === "/" || mount.root.startsWith("/..");
  const ordered = [...mounts.filter(whole), ...mounts.filter((mount) => !whole(mount))];
  for (const { fstype, path, superOptions } of ordered) {
    if (fstype === "cgroup2") v2Path ??= path;
    if (fstype !== "cgroup") continue;
    for (const option of superOptions) {
      const isOther = NOT_CONTROLLERS.has(option) || /^(release_agent|favordyn)/.test(option);
      if (!isOther && !v1.has(option)) v1.set(option, path);
    }
  }
  const controllers = v2Controllers.split(/\s+/).filter((name) => name !== "");
  const version = v1.size === 0 ? 2 : v2Path === undefined ? 1 : "hybrid";
  return { version, v1, ...(v2Path !== undefined && { v2: { path: v2Path, controllers } }) };
}
