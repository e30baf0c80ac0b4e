// What a checkpoint must remember beside CRIU's images: which mounts come from outside the
// container, and the names of its pipes and of its network namespace. Pure but for reading.

import { realpathSync } from "node:fs";
import { readFile, readlink, stat } from "node:fs/promises";
import { join, posix } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { OciMount, OciSpec } from "../../spec/index.ts";
import { type MountInfo, parseMountinfo } from "../mountinfo.ts";

export const FACTS_FILE = "gantry.json";

export interface CheckpointFacts {
  version: 1;
  containerId: string;
  /** Mounts of a cgroup hierarchy or of a host's file, by their target. */
  externals: { target: string; cgroup?: string; null?: true }[];
  /** What CRIU calls the standard streams that come from outside: "pipe:[123]", "file[1c:5]". */
  pipes: { stdin?: string; stdout?: string; stderr?: string };
  /** Inode of its own network namespace. */
  network?: string;
}

/** File systems that CRIU saves and makes anew. */
const INTERNAL = ["proc", "sysfs", "tmpfs", "devpts", "mqueue"];

export async function readFacts(o: {
  containerId: string;
  pid: number;
  spec: OciSpec;
  /** Where the host has the hierarchies of cgroups. */
  cgroupMount(controllers: readonly string[]): string | undefined;
  ownNetwork: boolean;
}): Promise<CheckpointFacts> {
  const { pid, containerId } = o;
  const mounts = parseMountinfo(await readFile(`/proc/${pid}/mountinfo`, "utf8"));
  const streams = [0, 1, 2].map((fd) => streamName(pid, fd, mounts));
  const [stdin, stdout, stderr] = await Promise.all(streams);
  const network = /\[(\d+)\]/.exec(await readlink(`/proc/${pid}/ns/net`))?.[1];
  return {
    version: 1,
    containerId,
    externals: mounts.flatMap((mount) => externalOf(mount, o)),
    pipes: { ...(stdin && { stdin }), ...(stdout && { stdout }), ...(stderr && { stderr }) },
    ...(o.ownNetwork && network && { network }),
  };
}

/** A pipe, or a file of a mount that the container does not have. */
async function streamName(
  pid: number,
  fd: number,
  mounts: readonly MountInfo[],
): Promise<string | undefined> {
  const path = `/proc/${pid}/fd/${fd}`;
  const target = await readlink(path).catch(() => "");
  if (target.startsWith("pipe:")) return target;
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8").catch(() => "");
  const mount = Number(/^mnt_id:\s*(\d+)/m.exec(info)?.[1] ?? 0);
  if (!target.startsWith("/") || mounts.some(({ id }) => id === mount)) return undefined;
  const { ino } = await stat(path, { bigint: true });
  return `file[${mount.toString(16)}:${ino.toString(16)}]`;
}

function externalOf(
  { path: target, root, fstype, superOptions }: MountInfo,
  {
    spec,
    cgroupMount,
  }: { spec: OciSpec; cgroupMount(names: readonly string[]): string | undefined },
): CheckpointFacts["externals"] {
  if (target === "/") return [];
  if (fstype === "cgroup" || fstype === "cgroup2") {
    const mount = cgroupMount(fstype === "cgroup2" ? [""] : superOptions);
    if (mount === undefined) throw refused(`the cgroup mount ${target}`);
    return [{ target, cgroup: join(mount, root) }];
  }
  if (bindOver(spec, target)) return [{ target }];
  if (fstype === "devtmpfs" && root === "/null") return [{ target, null: true }];
  if (INTERNAL.includes(fstype)) return [];
  throw refused(`the mount ${target} (${fstype})`);
}

const isBind = ({ type, options = [] }: OciMount): boolean =>
  type === "bind" || options.includes("bind") || options.includes("rbind");

/** The bind mount at `target`, or the one that it came with. */
function bindOver(spec: OciSpec, target: string): OciMount | undefined {
  return (spec.mounts ?? [])
    .filter(isBind)
    .filter(({ destination }) => target === destination || target.startsWith(`${destination}/`))
    .sort((a, b) => b.destination.length - a.destination.length)[0];
}

/** Where the host has what is mounted at an external target. Throws invalid where a link leads. */
export function sourceOf(spec: OciSpec, external: CheckpointFacts["externals"][number]): string {
  if (external.null) return "/dev/null";
  if (external.cgroup !== undefined) return external.cgroup;
  const bind = bindOver(spec, external.target);
  if (!bind?.source) throw refused(`the mount ${external.target}`);
  const source = bind.source + external.target.slice(bind.destination.length);
  // CRIU would follow a link that somebody has put there since (the shape of CVE-2026-119101).
  const beneath = realpathSync(bind.source) + external.target.slice(bind.destination.length);
  if (source !== bind.source && realpathSync(source) !== beneath) {
    throw new GantryError("invalid", `the mount ${external.target}: ${source} is a link`);
  }
  return source;
}

/** What neither a checkpoint nor a restore can do yet. Throws not-implemented. `network`: a network
 * namespace that is there already may be joined. */
export function checkSpec(spec: OciSpec, { network = false } = {}): void {
  const namespaces = new Map((spec.linux?.namespaces ?? []).map((n) => [n.type, n.path]));
  if (namespaces.has("user")) throw refused("a user namespace");
  if (spec.process?.terminal) throw refused("a terminal");
  for (const mount of (spec.mounts ?? []).filter(isBind)) {
    if (mount.subpath || mount.layers || mount.uidMappings) {
      throw refused(`the mount ${mount.destination} (a subpath, an image or mapped owners)`);
    }
  }
  for (const type of ["pid", "ipc", "mount"]) {
    if (!namespaces.has(type) || namespaces.get(type)) throw refused(`a shared ${type} namespace`);
  }
  if (namespaces.get("network") && !network) throw refused("another container's network");
  if (namespaces.has("cgroup")) throw refused("a cgroup namespace of its own (--cgroupns)");
}

/** A path that leads nowhere but down: a checkpoint's folder may be anybody's. */
const isPlace = (path: unknown): boolean =>
  typeof path === "string" && path.startsWith("/") && posix.normalize(path) === path;

export function parseFacts(text: string): CheckpointFacts {
  const facts = JSON.parse(text) as CheckpointFacts | null;
  if (facts?.version === 1 && Array.isArray(facts.externals)) {
    const { externals, pipes, network, containerId } = facts;
    const isSound =
      externals.every((one) => isPlace(one?.target) && isPlace(one.cgroup ?? "/")) &&
      Object.values(pipes ?? {}).every((name) =>
        /^(pipe:\[\d+\]|file\[[0-9a-f]+:[0-9a-f]+\])$/.test(name),
      ) &&
      /^\d+$/.test(network ?? "0") &&
      /^[\w+.-]+$/.test(containerId);
    if (isSound) return { ...facts, pipes: pipes ?? {} };
    throw new GantryError("invalid", "the checkpoint's facts make no sense");
  }
  throw new GantryError("invalid", "the checkpoint is of another version of Gantry");
}

const refused = (what: string): GantryError =>
  new GantryError("not-implemented", `checkpoints of containers with ${what} are not supported`);
