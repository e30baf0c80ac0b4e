// The numbers of the kernel's ABI that plans carry. They are the same on x86_64 and aarch64 unless
// said otherwise. Source: include/uapi/linux/{sched,mount,prctl,magic,resource,fcntl}.h.

export const CLONE = {
  NEWTIME: 0x00000080,
  NEWNS: 0x00020000,
  NEWCGROUP: 0x02000000,
  NEWUTS: 0x04000000,
  NEWIPC: 0x08000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;

/** mount(2) flags; the propagation ones are also mount_setattr(2)'s. */
export const MS = {
  MANDLOCK: 64,
  SYNCHRONOUS: 16,
  DIRSYNC: 128,
  REC: 0x4000,
  SILENT: 0x8000,
  I_VERSION: 1 << 23,
  LAZYTIME: 1 << 25,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
} as const;

export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  ATIME_MASK: 0x70,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const;

export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  NOCTTY: 0o400,
  // arm64 has other numbers for these two: the native program translates them (decision 168).
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  PATH: 0o10000000,
} as const;

export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_IFIFO = 0o010000;

export const MAGIC = {
  PROC: 0x9fa0,
  SYSFS: 0x62656572,
  NSFS: 0x6e736673,
  CGROUP: 0x27e0eb,
  CGROUP2: 0x63677270,
  DEVPTS: 0x1cd1,
} as const;

export const PR = {
  SET_DUMPABLE: 4,
  SET_KEEPCAPS: 8,
  SET_NO_NEW_PRIVS: 38,
} as const;

/** RLIMIT_*, as Docker's --ulimit and the OCI runtime spec name them. */
export const RLIMITS: Readonly<Record<string, number>> = {
  CPU: 0,
  FSIZE: 1,
  DATA: 2,
  STACK: 3,
  CORE: 4,
  RSS: 5,
  NPROC: 6,
  NOFILE: 7,
  MEMLOCK: 8,
  AS: 9,
  LOCKS: 10,
  SIGPENDING: 11,
  MSGQUEUE: 12,
  NICE: 13,
  RTPRIO: 14,
  RTTIME: 15,
};
