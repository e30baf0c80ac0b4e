// The AppArmor profile of containers that ask for no other: "docker-default", for that is how
// clients know it. It grants what capabilities and seccomp leave, and takes what no container needs
// whatever its mounts show: mounting, the kernel's own files in /proc and /sys, and processes that
// are not confined alike. Language: apparmor.d(5); a "deny" wins over every grant.

export const DEFAULT_PROFILE = "docker-default";

/** A label as rules name it. */
const quoted = (label: string) => `"${label.replaceAll(/["\\]/g, "\\$&")}"`;

/** `daemon` is the label of this process, from which stop and kill come. */
export function defaultProfile(daemon: string): string {
  const mayKill = [...new Set(["unconfined", daemon])];
  return `profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  capability,
  network,
  file,
  umount,
  deny mount,

${mayKill.map((label) => `  signal (receive) peer=${quoted(label)},`).join("\n")}
  signal (send, receive) peer=${DEFAULT_PROFILE},
  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_PROFILE},

  # Of /proc, the folders of processes are written to, and of its sysctls those of shared memory,
  # which every ipc namespace has to itself.
  deny /proc/* w,
  deny /proc/[^1-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sysv*/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,

  # Of /sys, the container's cgroups alone; what tells of firmware, power (CVE-2020-8694) and
  # security modules is not even read.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/{firmware,kernel/security}/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
}
`;
}
