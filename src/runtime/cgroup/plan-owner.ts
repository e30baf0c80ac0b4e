// Who owns a container's cgroup (runtime-spec, "Cgroup ownership"): on v2 the user of its process,
// where a namespace makes it look like the whole tree and a writable mount shows it. The files are
// those that the kernel lets a delegate have; limits stay the host's.

import type { Operation } from "../../native/index.ts";
import type { OciSpec } from "../../spec/index.ts";
import type { CgroupPlace } from "./places.ts";

/** /sys/kernel/cgroup/delegate, without what is newer than 5.12. */
const DELEGATED = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group"];

const isWritable = ({ type, options = [] }: NonNullable<OciSpec["mounts"]>[number]): boolean =>
  (type === "cgroup" || type === "cgroup2") && !options.includes("ro") && !options.includes("rro");

/** `uid` is in the host's numbers. Nothing where the cgroup is not the container's to change. */
export function planCgroupOwner(
  places: readonly CgroupPlace[],
  { linux, mounts = [] }: OciSpec,
  uid: number,
): Operation[] {
  const [unified, ...others] = places;
  if (uid === 0 || unified?.version !== 2 || others.length > 0) return [];
  const own = linux?.namespaces?.some(({ type, path }) => type === "cgroup" && !path);
  if (!own || !mounts.some(isWritable)) return [];
  const has = (file: string) =>
    ["cgroup", ...unified.controllers].includes(file.slice(0, file.indexOf(".")));
  const paths = ["", ...DELEGATED.filter(has).map((file) => `/${file}`)];
  return paths.map((file) => ({ op: "chown", path: unified.path + file, uid, gid: -1 }));
}
