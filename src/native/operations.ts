// The closed union of kernel operations: the whole vocabulary between TypeScript, which decides,
// and the native program, which obeys. One table gives the type, the encoding and (through
// tools/gen-operations.ts) the C header, so the two sides cannot drift apart.
//
// A slot is a small number (0–63) that names something known only while a plan runs: a
// descriptor, a pid, an interface index. Where an operation has `root`, its path is resolved with
// openat2(RESOLVE_IN_ROOT) beneath that descriptor, symlinks included; without it, the path is an
// absolute path of the process that runs the plan.

/** Kinds of fields; a trailing "?" makes the field optional (slot -1, 0, "", false, empty). */
type FieldKind = "slot" | "int" | "str" | "bytes" | "strs" | "ints" | "flag" | "patches";
type Field = FieldKind | `${FieldKind}?`;

/** Replaces bytes of a netlink message by a slot's value, known only while the plan runs. */
export type Patch = { offset: number; slot: number; width: 1 | 2 | 4 | 8 };

type FieldTypes = {
  slot: number;
  int: number | bigint;
  str: string;
  bytes: Uint8Array;
  strs: readonly string[];
  ints: readonly (number | bigint)[];
  flag: boolean;
  patches: readonly Patch[];
};

export const operations = {
  // files
  mkdir: { code: 1, fields: { root: "slot?", path: "str", mode: "int", existOk: "flag?" } },
  /** Makes every missing folder of `path`; new ones get mode and owner. */
  mkdirs: {
    code: 2,
    fields: { root: "slot?", path: "str", mode: "int", uid: "int?", gid: "int?" },
  },
  /** Makes an empty regular file (and nothing else) unless something is there. */
  touch: { code: 3, fields: { root: "slot?", path: "str", mode: "int" } },
  /** Opens with `flags` (O_WRONLY is added; open(2)'s flags are x86's on every machine) and writes
   * `data` in one write(2). Where there is no such file, `orData` goes to `orPath`, or with
   * `missingOk` nothing is written. */
  write: {
    code: 4,
    fields: {
      root: "slot?",
      path: "str",
      data: "bytes",
      flags: "int?",
      mode: "int?",
      missingOk: "flag?",
      orPath: "str?",
      orData: "bytes?",
    },
  },
  /** Writes the slot's number in decimal: a pid into cgroup.procs. 0 in the slot means itself. */
  writeSlot: { code: 5, fields: { root: "slot?", path: "str", slot: "slot" } },
  /** Writes to /proc/<pid in slot>/<file>: uid_map, gid_map, setgroups, timens_offsets … */
  writeProc: { code: 6, fields: { pid: "slot", file: "str", data: "bytes" } },
  /** O_CLOEXEC is always added. With `optional`, a missing path leaves the slot at -1. */
  open: {
    code: 7,
    fields: {
      root: "slot?",
      path: "str",
      flags: "int",
      mode: "int?",
      optional: "flag?",
      to: "slot",
    },
  },
  /** Opens /proc/<pid in slot>/<file>, for instance ns/net. */
  openProc: { code: 8, fields: { pid: "slot", file: "str", flags: "int", to: "slot" } },
  close: { code: 9, fields: { slot: "slot" } },
  symlink: {
    code: 10,
    fields: { root: "slot?", target: "str", path: "str", existOk: "flag?" },
  },
  /** `sameOk`: a node of that kind and number may be there already. */
  mknod: {
    code: 11,
    fields: {
      root: "slot?",
      path: "str",
      mode: "int",
      major: "int",
      minor: "int",
      sameOk: "flag?",
    },
  },
  /** An empty path with `root` is that slot's own file (a pipe). An id of -1 is left alone. */
  chown: {
    code: 12,
    fields: { root: "slot?", path: "str", uid: "int", gid: "int", nofollow: "flag?" },
  },
  chmod: { code: 13, fields: { root: "slot?", path: "str", mode: "int" } },
  unlink: { code: 14, fields: { root: "slot?", path: "str", missingOk: "flag?" } },
  /** `retryMs`: EBUSY is tried again for that long (a cgroup whose last process is exiting). */
  rmdir: {
    code: 15,
    fields: { root: "slot?", path: "str", missingOk: "flag?", retryMs: "int?" },
  },
  rename: { code: 16, fields: { from: "str", to: "str", exchange: "flag?" } },
  /** Result: the content, at most `max` bytes (more is E2BIG). */
  readFile: {
    code: 17,
    fields: { root: "slot?", path: "str", max: "int", missingOk: "flag?" },
  },
  assertFilesystem: { code: 18, fields: { slot: "slot", magic: "int" } },
  assertInode: { code: 19, fields: { slot: "slot", device: "int", inode: "int" } },
  assertDevice: { code: 20, fields: { slot: "slot", mode: "int", major: "int", minor: "int" } },
  /** Deletes a tree without following links or leaving its file system. */
  removeTree: { code: 21, fields: { root: "slot?", path: "str", missingOk: "flag?" } },
  /** Result: int64[] {dev, ino, mode, uid, gid, size, mtime s, mtime ns, rdev} of a slot. */
  stat: { code: 22, fields: { slot: "slot" } },

  // mounts
  /** fsopen, one fsconfig for each "key=value" or "flag", create, fsmount: a detached mount.
   * A value "@N" is slot N, passed as a descriptor (FSCONFIG_SET_FD): overlay layers; "@@"
   * stands for one "@" at the start of a value. */
  fsmount: { code: 30, fields: { fstype: "str", options: "strs", attr: "int?", to: "slot" } },
  /** A detached clone (OPEN_TREE_CLONE) of a path, or of `slot` itself when path is "". */
  openTree: {
    code: 31,
    fields: {
      slot: "slot?",
      root: "slot?",
      path: "str",
      recursive: "flag?",
      nofollow: "flag?",
      to: "slot",
    },
  },
  /** mount_setattr(2) on a detached mount. Attributes that the kernel has locked stay set. */
  mountAttr: {
    code: 32,
    fields: {
      slot: "slot",
      set: "int?",
      clear: "int?",
      propagation: "int?",
      userns: "slot?",
      recursive: "flag?",
      /** What it is the mount of, for the message of a failure. */
      of: "str?",
    },
  },
  /** Attaches a detached mount at a path. `make`: "dir" or "file" makes a missing target, "same"
   * one of the mount's own kind. */
  moveMount: {
    code: 33,
    fields: { slot: "slot", root: "slot?", path: "str", make: "str?", likeTarget: "flag?" },
  },
  /** mount(NULL, path, NULL, flags, NULL): changes propagation. */
  propagation: { code: 34, fields: { root: "slot?", path: "str", flags: "int" } },
  umount: { code: 35, fields: { path: "str", flags: "int?", missingOk: "flag?" } },
  /** Hides a path: `devNull` (an fd of the verified /dev/null) over a file, an empty read-only
   * tmpfs over a folder; a missing path is left alone. */
  maskPath: { code: 36, fields: { root: "slot?", path: "str", devNull: "slot" } },
  /** Remounts a path on itself read-only; a missing path is left alone. */
  readonlyPath: { code: 37, fields: { root: "slot?", path: "str" } },
  /** fchdir(slot), pivot_root(".", "."), detach the old root, chdir("/"). */
  pivotRoot: { code: 38, fields: { slot: "slot" } },
  /** For roots that cannot be pivoted (initramfs). */
  chroot: { code: 40, fields: { slot: "slot" } },
  /** mount(2), for what older kernels cannot say through fsmount: overlay's long lists of layers
   * (up to a page of `data`; relative paths are those of the working folder). */
  mount: {
    code: 41,
    fields: {
      source: "str",
      path: "str",
      fstype: "str",
      flags: "int?",
      data: "str?",
      root: "slot?",
    },
  },
  /** Changes the file system that is mounted at `path`, options as those of fsmount. */
  remount: { code: 42, fields: { root: "slot?", path: "str", options: "strs" } },

  /** The host's null device, verified, through a read-only mount of its own: whoever gets the
   * descriptor uses the device, and cannot change the node. */
  devNull: { code: 43, fields: { to: "slot" } },

  /** setxattr of what is at `path` beneath root: the label of a mount that takes none itself. */
  setXattr: { code: 44, fields: { root: "slot?", path: "str", name: "str", value: "bytes" } },

  // processes and namespaces
  /** clone3 with `flags` (CLONE_NEW*); the child starts the plan's container half. It becomes
   * the monitor's child (CLONE_PARENT) where there is a monitor. `join`: pairs of a slot and a
   * CLONE_NEW* flag, the namespaces in which it is born (and which own its new ones where a user
   * namespace is among them); we stay outside. */
  clone: {
    code: 50,
    fields: { flags: "int", pid: "slot", pidfd: "slot?", cgroup: "slot?", join: "ints?" },
  },
  /** Barriers: one half says that it reached point n, the other waits for it. */
  signalPeer: { code: 51, fields: { point: "int" } },
  awaitPeer: { code: 52, fields: { point: "int" } },
  sendSlot: { code: 53, fields: { slot: "slot" } },
  receiveSlot: { code: 54, fields: { to: "slot" } },
  setns: { code: 55, fields: { slot: "slot", flags: "int?" } },
  unshare: { code: 56, fields: { flags: "int" } },
  setsid: { code: 57, fields: {} },
  hostname: { code: 58, fields: { name: "str" } },
  domainname: { code: 59, fields: { name: "str" } },
  prctl: {
    code: 60,
    fields: { option: "int", arg2: "int?", arg3: "int?", arg4: "int?", arg5: "int?" },
  },
  setgroups: { code: 61, fields: { gids: "ints" } },
  setgid: { code: 62, fields: { gid: "int" } },
  setuid: { code: 63, fields: { uid: "int" } },
  /** Drops every capability outside the mask from the bounding set. */
  capBounding: { code: 64, fields: { keep: "int" } },
  capset: { code: 65, fields: { effective: "int", permitted: "int", inheritable: "int" } },
  capAmbient: { code: 66, fields: { raise: "int" } },
  /** prlimit(2) on itself. With `clamp`, a hard limit that may not be raised is left (EPERM). */
  rlimit: {
    code: 67,
    fields: { resource: "int", soft: "int", hard: "int", clamp: "flag?" },
  },
  umask: { code: 68, fields: { mode: "int" } },
  /** seccomp(SECCOMP_SET_MODE_FILTER); `filter` is an array of struct sock_filter. With `agent`,
   * its notify descriptor goes to the agent of the other half before anything else is called. */
  seccomp: {
    code: 69,
    fields: { filter: "bytes", flags: "int?", listener: "slot?", agent: "flag?" },
  },
  /** Host half: connects to the seccomp agent's socket. When the process that the plan makes (or
   * `pid`) has loaded its filter, the agent is sent `parts`, joined by the pid, with the notify
   * descriptor. */
  seccompAgent: { code: 105, fields: { path: "str", parts: "strs", pid: "int?" } },
  /** set_mempolicy(2); `nodes` is a bit mask of whole longs, empty for none. */
  memoryPolicy: { code: 106, fields: { mode: "int", nodes: "bytes?" } },
  personality: { code: 70, fields: { value: "int" } },
  scheduler: {
    code: 71,
    fields: {
      policy: "int",
      nice: "int?",
      priority: "int?",
      flags: "int?",
      runtime: "int?",
      deadline: "int?",
      period: "int?",
    },
  },
  ioPriority: { code: 72, fields: { class: "int", priority: "int" } },
  affinity: { code: 73, fields: { mask: "bytes" } },
  /** `create`: a missing folder is made (Docker's WORKDIR), owned by uid and gid. */
  chdir: { code: 74, fields: { path: "str", create: "flag?", uid: "int?", gid: "int?" } },
  /** Searches PATH of `env` when argv[0] has no slash, as execvp(3). Does not return. */
  execve: { code: 75, fields: { argv: "strs", env: "strs" } },
  /** In the place of execve, for a program that the kernel does not execute: the process counts as
   * started, says why on its standard error and ends with `code`. */
  sayAndExit: { code: 88, fields: { text: "str", code: "int" } },
  /** Joins a new session keyring of that name; `label` is ignored where SELinux is absent. */
  keyring: { code: 76, fields: { name: "str" } },
  /** `startTicks`: ESRCH unless it is still the process that started then. */
  pidfdOpen: { code: 77, fields: { pid: "int", to: "slot", startTicks: "int?" } },
  kill: { code: 78, fields: { slot: "slot", signal: "int" } },
  /** A user namespace that no process lives in, with these maps, for id-mapped mounts. */
  makeUserns: { code: 79, fields: { uidMap: "str", gidMap: "str", to: "slot" } },
  /** The ids under which file systems see this process, capabilities kept: an overlay remembers
   * them at its mount, and id-mapped layers take no others. 0 and 0 bring its own back. */
  fileIds: { code: 87, fields: { uid: "int", gid: "int" } },
  /** Result: uid_map, NUL, gid_map, NUL of a user namespace, in our own numbers. */
  usernsMaps: { code: 89, fields: { slot: "slot" } },
  /** Kills every process of a cgroup and of those in it (v2 cgroup.kill, v1 by cgroup.procs).
   * `freezer`: the v1 cgroup that is thawed, so that what is frozen can die. */
  killCgroup: {
    code: 80,
    fields: { path: "str", signal: "int?", missingOk: "flag?", freezer: "str?" },
  },
  /** Removes a cgroup and those that were made in it; one that is missing is removed already.
   * `retryMs`: as of rmdir. */
  removeCgroup: { code: 86, fields: { path: "str", retryMs: "int?" } },
  /** Enters cgroups (v1), prepared ones of a standby executor where their parents match: a
   * process that is cloned afterwards is born in them. Parents must exist. */
  enterCgroups: { code: 82, fields: { paths: "strs" } },
  /** Fails with EBUSY when a process is in one of these cgroups; one that is missing has none. */
  emptyCgroups: { code: 107, fields: { paths: "strs" } },
  /** Fails with EBUSY when the number in a file is larger. `what` it counts is said then. */
  checkAtMost: { code: 108, fields: { path: "str", max: "int", what: "str" } },
  /** Moves this process into a v2 cgroup beneath `mount`. One that has handed controllers on holds
   * no processes: then into that of the process `pid`, if it is beneath. */
  joinCgroup: { code: 109, fields: { mount: "str", path: "str", pid: "int?" } },
  bpfCgroupDevice: { code: 81, fields: { cgroup: "slot", program: "bytes" } },

  /** Runs a program that brings a process back and writes its pid to `pidFile`, then ends as that
   * process ends; with `leave` at once: the process falls to whoever is a subreaper above.
   * Container half, last. Does not return. */
  restore: {
    code: 83,
    fields: { argv: "strs", env: "strs", pidFile: "str", leave: "flag?" },
  },

  // standard streams
  /** Opens a new pty through `path` (the container's own /dev/ptmx) beneath root. */
  pty: {
    code: 90,
    fields: {
      root: "slot?",
      path: "str",
      master: "slot",
      slave: "slot",
      rows: "int?",
      columns: "int?",
      uid: "int?",
      gid: "int?",
    },
  },
  pipe: { code: 91, fields: { read: "slot", write: "slot" } },
  dup2: { code: 92, fields: { slot: "slot", fd: "int" } },
  controllingTty: { code: 93, fields: { slot: "slot" } },
  /** Hands a descriptor to the monitor: as is "stdin", "stdout", "stderr", "tty" or "seccomp". */
  export: { code: 94, fields: { slot: "slot", as: "str" } },
  /** Marks every descriptor from `fd` on close-on-exec (--preserve-fds keeps those before). */
  closeFrom: { code: 95, fields: { fd: "int" } },
  /** A descriptor that this process has from whoever started it: 0, 1, 2. */
  takeFd: { code: 48, fields: { fd: "int", to: "slot" } },

  /** Gives the standard streams to a user who may open /dev/stdout again; what cannot be given
   * (a device, a file of another file system's) stays as it is. */
  ownStreams: { code: 96, fields: { uid: "int" } },

  // for gantry-runtime: between create and start
  /** A unix socket at `path` (mode 0600) that awaitStart waits on. */
  listen: { code: 97, fields: { path: "str", to: "slot" } },
  /** Container half: the other half is told that all is made. From a connection to the socket on,
   * that is who hears what fails. */
  awaitStart: { code: 98, fields: { slot: "slot" } },
  /** Fails as execve of these would for a program that is missing or may not be run. */
  checkProgram: { code: 84, fields: { argv: "strs", env: "strs" } },
  /** Lets the process at the other end of such a socket go on. Fails with what it says failed. */
  releaseStart: { code: 99, fields: { path: "str" } },
  /** Runs a program with `before`, the number in `pid` (absent: nothing) and `after` on its stdin. Fails when it fails, with what it said. OCI hooks. */
  runHook: {
    code: 85,
    fields: {
      path: "str",
      argv: "strs",
      env: "strs",
      timeoutMs: "int?",
      before: "str",
      pid: "slot?",
      after: "str",
    },
  },

  // network
  /** Sends netlink messages (each with NLM_F_ACK) and reads every answer; a negative ack fails
   * the operation unless its errno is `ignore`. Result: the echoed or dumped messages.
   * `netns`: the socket belongs to that network namespace. */
  netlink: {
    code: 100,
    fields: {
      protocol: "int",
      data: "bytes",
      patches: "patches?",
      netns: "slot?",
      ignore: "int?",
    },
  },
  interfaceIndex: { code: 101, fields: { name: "str", netns: "slot?", to: "slot" } },
  /** Makes sockets in a network namespace and hands them with `line` to the resident process at
   * `path`: a UDP and a listening TCP socket at `ip`:`port`, then `udp` and `tcp` more to ask
   * others with (both families where the kernel has IPv6). Fails unless it answers "ID ok N". */
  handSockets: {
    code: 102,
    fields: {
      netns: "slot",
      ip: "bytes",
      port: "int",
      udp: "int",
      tcp: "int",
      path: "str",
      line: "str",
    },
  },

  /** Connects to a TCP port from inside a network namespace, sends `data` and reads until the peer
   * ends, `max` bytes are there, or `lingerMs` have passed since `until` was seen. Result: a byte
   * (1 when `waitMs` was over before any of these), then what was read. */
  exchange: {
    code: 103,
    fields: {
      netns: "slot",
      ip: "bytes",
      port: "int",
      data: "bytes?",
      until: "bytes?",
      max: "int",
      waitMs: "int",
      lingerMs: "int?",
    },
  },

  /** Sends `text` as one datagram to the unix socket at `path` ("@name" is an abstract one), in the
   * name of process `pid` where that is allowed: sd_notify(3). */
  notify: { code: 104, fields: { path: "str", text: "str", pid: "int" } },

  // results and streams
  /** Result: the slot's number. */
  report: { code: 110, fields: { slot: "slot" } },
  /** Result: {device, inode} of the namespace or file in the slot. */
  reportInode: { code: 111, fields: { slot: "slot" } },
  memfd: { code: 112, fields: { name: "str", data: "bytes", to: "slot" } },
  /** Connects to the daemon's stream socket and sends the token: a byte stream to or from
   * TypeScript, for archives. */
  connect: { code: 113, fields: { path: "str", token: "bytes", to: "slot" } },

  // archives (native/archive*.c)
  /** Unpacks a tar stream beneath `root`. `split` receives what a byte-exact rebuild needs.
   * flags: see ARCHIVE_* in archive flags. `same`: a bit for each regular file in its order, set
   * where the file of that name beneath `twin` is known to be the same: it gets a further name
   * instead of a copy where owner, mode, size and time agree. Result: int64[] {entries, bytes of file content}. */
  untar: {
    code: 120,
    fields: {
      root: "slot",
      path: "str?",
      from: "slot",
      split: "slot?",
      flags: "int?",
      maxBytes: "int?",
      maxEntries: "int?",
      uid: "int?",
      gid: "int?",
      twin: "slot?",
      same: "bytes?",
    },
  },
  /** Writes `path` beneath `root` as a tar stream. `name` renames the first component. */
  tar: {
    code: 121,
    fields: { root: "slot", path: "str", name: "str?", to: "slot", flags: "int?" },
  },
  /** Writes an overlay upper folder as an OCI layer (whiteouts as .wh. files). */
  tarUpper: { code: 122, fields: { root: "slot", to: "slot", flags: "int?" } },
  /** Writes the exact bytes of the tar that `split` describes, with content from `root`. */
  untarRebuild: { code: 123, fields: { root: "slot", split: "slot", to: "slot" } },
  /** Copies a tree with all metadata: volume copy-up. */
  copyTree: {
    code: 124,
    fields: { fromRoot: "slot", from: "str", toRoot: "slot", to: "str", flags: "int?" },
  },
  /** Result: int64[] {bytes, inodes} of a tree. */
  treeSize: { code: 125, fields: { root: "slot", path: "str?" } },
  /** Result: "A|C|D /path\0" for each change of an overlay upper folder against the lower root. */
  changes: { code: 126, fields: { upper: "slot", lower: "slot" } },
  /** Result: int64[] as stat, then the link target, a NUL, and the path after all links ("" for a
   * loop): lstat of a path beneath root. */
  statPath: { code: 127, fields: { root: "slot", path: "str", follow: "flag?" } },
  /** Asks ext4 to place each folder that is made in this one in a part of the disk of its own.
   * Result: int64 1, or 0 where the file system knows nothing of it. */
  spreadFolders: { code: 128, fields: { path: "str" } },
  /** Result: "/path\0" of each file beneath root that a shell's pattern matches; more than `max`
   * is E2BIG. */
  globPath: { code: 129, fields: { root: "slot", pattern: "str", max: "int" } },
  /** Enters the mount namespace of a process and puts its root into a slot. ESRCH unless it is
   * still the one that started then: a pid may be another's by now.
   * `userns`: its user namespace too, as root there: ids are then those that it sees. */
  enterProcess: {
    code: 130,
    fields: { pid: "int", startTicks: "int", to: "slot", userns: "flag?" },
  },

  /** Makes an overlay upper folder a layer as it is: writes the split of the tar that it would be,
   * and removes what unpacking that tar would not make. Result: int64[] {1 when the tar would make
   * something else, bytes of content, whether the root is opaque, bytes of the tar}, then the tar's
   * sha256. */
  sealUpper: { code: 131, fields: { root: "slot", split: "slot" } },

  /** Removes what was made in an upper folder only to mount on: empty files and folders, then the
   * folders that they were in where those are empty and as in `base`. What is used stays. */
  dropPoints: { code: 132, fields: { root: "slot", base: "slot?", paths: "strs" } },

  /** Gives everything at and beneath `path`, which has no symlink in it, this value of an extended
   * attribute: a security label. File systems that have none are passed over. */
  relabelTree: { code: 133, fields: { path: "str", name: "str", value: "bytes" } },

  // limited areas of a disk (native/ops-disk.c)
  /** The file system inside a file as a detached mount. A loop device that has the file already
   * is used, else one is attached; the kernel frees it with the last mount. */
  mountImage: {
    code: 140,
    fields: { path: "str", fstype: "str", options: "strs?", attr: "int?", to: "slot" },
  },
  /** Lets file, loop device and file system (ext4, btrfs) grow, mounted as they are. */
  growImage: { code: 141, fields: { path: "str", bytes: "int", mount: "slot" } },
  /** Result: int64 1 while a loop device has the file, else 0. */
  imageAttached: { code: 145, fields: { path: "str" } },
  /** Result: int64[] {project quotas are enforced here, limit and use of the project in bytes,
   * its inodes, project of the folder}. */
  projectState: { code: 142, fields: { path: "str", project: "int" } },
  /** Puts a folder, and all that will be made in it, into a project. */
  setProject: { code: 143, fields: { path: "str", project: "int" } },
  /** 0 bytes: no limit. */
  setQuota: { code: 144, fields: { path: "str", project: "int", bytes: "int" } },
} as const satisfies Record<string, { code: number; fields: Record<string, Field> }>;

export type OperationName = keyof typeof operations;

type Required<F> = { [K in keyof F as F[K] extends `${string}?` ? never : K]: F[K] };
type Optional<F> = { [K in keyof F as F[K] extends `${string}?` ? K : never]: F[K] };
type ValueOf<K> = K extends `${infer B extends FieldKind}?`
  ? FieldTypes[B]
  : K extends FieldKind
    ? FieldTypes[K]
    : never;
type Fields<F> = { [K in keyof Required<F>]: ValueOf<F[K]> } & {
  [K in keyof Optional<F>]?: ValueOf<F[K]>;
};

/** One operation of a plan; discriminated by `op`. */
export type Operation = {
  [N in OperationName]: { op: N } & Fields<(typeof operations)[N]["fields"]>;
}[OperationName];

/** A plan is data. `host` runs in a worker; its `clone` starts `container` in the new process;
 * `teardown` (best effort, each operation whatever became of the others) runs when either half
 * fails, and when the container has exited. */
export type Plan = {
  host: readonly Operation[];
  container: readonly Operation[];
  teardown: readonly Operation[];
  /** The whole plan must be done by then, or its processes are killed. Default 30,000. */
  deadlineMs?: number;
  /** For tests: this operation fails with `errno` (default EIO) instead of being run. */
  failAt?: { half: PlanHalf; index: number; errno?: number };
};

export type PlanHalf = "host" | "container" | "teardown";
