// The mounts of a container's OCI spec: Docker's defaults, /dev/shm and the three files of the
// network, the user's binds, volumes and tmpfs, in the order in which they must be mounted.

import { GantryError } from "../../base/index.ts";
import type { HostConfig, IdMaps, MountRequest, OciMount } from "../../spec/index.ts";
import { outside } from "../userns/index.ts";
import type { PreparedMount } from "./mount-sources.ts";
import type { MountRecord } from "./record.ts";

export interface MountInput {
  host: HostConfig;
  mounts: readonly PreparedMount[];
  /** Paths on the host; "" is not mounted. */
  files: { hostname: string; hosts: string; resolvConf: string; readOnly?: boolean };
  /** Where the shared memory of a joined IPC namespace is found, from the host. */
  joinedIpc?: number;
  writableCgroups: boolean;
  /** The container's user namespace. */
  userns?: IdMaps;
}

const TTY_GROUP = 5;
const SHM_BYTES_DEFAULT = 64 * 1024 * 1024;

const DEFAULTS: readonly OciMount[] = [
  {
    destination: "/proc",
    type: "proc",
    source: "proc",
    options: ["nosuid", "noexec", "nodev"],
  },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", `gid=${TTY_GROUP}`],
  },
  {
    destination: "/sys",
    type: "sysfs",
    source: "sysfs",
    options: ["nosuid", "noexec", "nodev", "ro"],
  },
  {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: ["ro", "nosuid", "noexec", "nodev"],
  },
  {
    destination: "/dev/mqueue",
    type: "mqueue",
    source: "mqueue",
    options: ["nosuid", "noexec", "nodev"],
  },
];

export function toOciMounts(input: MountInput): OciMount[] {
  const { host } = input;
  const own = [...userMounts(input), ...tmpfsMounts(host)];
  const taken = new Set(own.map(({ destination }) => destination));
  const mounts = [...DEFAULTS, ...sharedMemory(input)].filter(
    ({ destination }) =>
      !taken.has(destination) && !(taken.has("/dev") && destination.startsWith("/dev/")),
  );
  own.push(...networkFiles(input, taken));
  const writable = (type: string | undefined) =>
    (host.Privileged && (type === "sysfs" || type === "cgroup")) ||
    (input.writableCgroups && type === "cgroup");
  const defaults = mounts.flatMap((mount) => {
    // The queues are another namespace's then.
    if (mount.type === "mqueue" && input.userns && host.IpcMode === "host") return [];
    if (mount.type === "devpts" && input.userns) return { ...mount, options: ttyGroup(input) };
    if (writable(mount.type)) {
      return { ...mount, options: (mount.options ?? []).filter((option) => option !== "ro") };
    }
    return mount;
  });
  // A parent before what is mounted in it, whatever the order of the request.
  own.sort((a, b) => depth(a.destination) - depth(b.destination));
  return [...defaults, ...own];
}

/** The group of terminals, where the user namespace has it. */
function ttyGroup({ userns }: MountInput): string[] {
  const options = DEFAULTS.find(({ type }) => type === "devpts")?.options ?? [];
  const has = userns && outside(userns.gid, TTY_GROUP) !== undefined;
  return has ? options : options.filter((option) => option !== `gid=${TTY_GROUP}`);
}

const depth = (path: string): number => path.split("/").length;

function sharedMemory({ host, joinedIpc }: MountInput): OciMount[] {
  const destination = "/dev/shm";
  if (host.IpcMode === "none") return [];
  const bind = ["rbind", "rprivate"];
  if (host.IpcMode === "host") {
    return [{ destination, type: "bind", source: "/dev/shm", options: bind }];
  }
  if (joinedIpc !== undefined) {
    const source = `/proc/${joinedIpc}/root/dev/shm`;
    return [{ destination, type: "bind", source, options: ["bind", "rprivate"] }];
  }
  const size = `size=${host.ShmSize || SHM_BYTES_DEFAULT}`;
  const options = ["nosuid", "noexec", "nodev", "mode=1777", size];
  return [{ destination, type: "tmpfs", source: "shm", options }];
}

function networkFiles({ files, host, userns }: MountInput, taken: ReadonlySet<string>): OciMount[] {
  const all: [string, string][] = [
    ["/etc/resolv.conf", files.resolvConf],
    ["/etc/hostname", files.hostname],
    ["/etc/hosts", files.hosts],
  ];
  const readOnly = host.ReadonlyRootfs || files.readOnly;
  const options = ["rbind", "rprivate", ...(readOnly ? ["ro"] : [])];
  return all
    .filter(([destination, source]) => source !== "" && !taken.has(destination))
    .map(([destination, source]) => ({
      ...{ destination, type: "bind", source, options },
      ...(userns && { uidMappings: [...userns.uid], gidMappings: [...userns.gid] }),
    }));
}

function userMounts({ mounts }: MountInput): OciMount[] {
  return mounts.map((mount) => {
    if (mount.Type === "tmpfs") return tmpfsOf(mount);
    const { BindOptions: bind, VolumeOptions, ImageOptions } = mount.request ?? {};
    const recursive = bind?.NonRecursive !== true;
    const options = [recursive ? "rbind" : "bind", mount.Propagation || "rprivate"];
    if (!mount.RW) options.push(readonlyOption(mount, recursive));
    const subpath = VolumeOptions?.Subpath || ImageOptions?.Subpath;
    return {
      destination: mount.Destination,
      type: "bind",
      source: mount.Source,
      options,
      ...(subpath && { subpath }),
      ...(mount.layers && { layers: mount.layers }),
      ...(mount.idMaps && { uidMappings: mount.idMaps.uid, gidMappings: mount.idMaps.gid }),
    };
  });
}

/** Since Docker 25 what is mounted below a read-only bind is read-only too. */
function readonlyOption({ request, Propagation }: MountRecord, recursive: boolean): "ro" | "rro" {
  const bind = request?.BindOptions;
  if (bind?.ReadOnlyForceRecursive) {
    if (bind.ReadOnlyNonRecursive) {
      throw new GantryError(
        "invalid",
        "mount options conflict: ReadOnlyNonRecursive and ReadOnlyForceRecursive",
      );
    }
    if (Propagation !== "rprivate") {
      throw new GantryError(
        "invalid",
        'mount option "ReadOnlyForceRecursive" needs propagation "rprivate"',
      );
    }
  }
  if (bind?.ReadOnlyNonRecursive) return "ro";
  return recursive ? "rro" : "ro";
}

const TMPFS_BASE = ["noexec", "nosuid", "nodev", "rprivate"];

/** --tmpfs /path:options – the user's options follow, and so override, the safe ones. */
function tmpfsMounts(host: HostConfig): OciMount[] {
  return Object.entries(host.Tmpfs ?? {}).map(([destination, text]) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: [...TMPFS_BASE, ...text.split(",").filter((option) => option !== "")],
  }));
}

function tmpfsOf(mount: MountRecord): OciMount {
  return {
    destination: mount.Destination,
    type: "tmpfs",
    source: "tmpfs",
    options: [
      ...TMPFS_BASE,
      ...tmpfsOptions(mount.request?.TmpfsOptions),
      ...(mount.RW ? [] : ["ro"]),
    ],
  };
}

function tmpfsOptions(options: MountRequest["TmpfsOptions"]): string[] {
  const list: string[] = [];
  if (options?.Mode) list.push(`mode=${options.Mode.toString(8)}`);
  if (options?.SizeBytes) list.push(`size=${options.SizeBytes}`);
  for (const [name, value] of options?.Options ?? []) {
    if (name) list.push(value === undefined ? name : `${name}=${value}`);
  }
  return list;
}
