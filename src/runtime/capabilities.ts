// Capability names and masks. Order is the kernel's numbering (include/uapi/linux/capability.h).

import { GantryError } from "../base/index.ts";
import type { OciProcess } from "../spec/index.ts";

const NAMES = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO",
  "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME",
  "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG",
  "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
]
  .join(" ")
  .split(" ");

/** CAP_CHOWN … CAP_CHECKPOINT_RESTORE; the index is the capability's number. */
export const capabilityNames: readonly string[] = NAMES.map((name) => `CAP_${name}`);

const numbers = new Map(capabilityNames.map((name, number) => [name, number]));

/** The mask of a list of names ("CAP_KILL"). Throws invalid on an unknown name. */
export function capabilityMask(names: readonly string[] = []): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = numbers.get(name.toUpperCase());
    if (number === undefined) {
      throw new GantryError("invalid", `invalid capability: ${JSON.stringify(name)}`);
    }
    mask |= 1n << BigInt(number);
  }
  return mask;
}

/** The mask of what this kernel and this process can give of a list; the rest is left out. */
export function grantable(names: readonly string[] | undefined, held: bigint): bigint {
  return capabilityMask((names ?? []).filter(isCapability)) & held;
}

const isCapability = (name: string): boolean => numbers.has(name.toUpperCase());

/** What a process asks for and does not get: the runtime specification wants it told, and no
 * failure. `held` is what can be given at all. */
export function capabilityWarnings({ capabilities = {} }: OciProcess, held: bigint): string[] {
  const { bounding, effective, permitted, inheritable, ambient } = capabilities;
  const named = [bounding, effective, permitted, inheritable, ambient].flatMap((all) => all ?? []);
  const missing = [...new Set(named)].filter((name) => grantable([name], held) === 0n);
  const both = grantable(permitted, held) & grantable(inheritable, held);
  const without = (names: string[] | undefined, mask: bigint) =>
    (names ?? []).filter((name) => !missing.includes(name) && !(grantable([name], held) & mask));
  const lists: [string, string[]][] = [
    ["ignoring unknown or unavailable capabilities", missing],
    [
      "ignoring effective capabilities that are not permitted",
      without(effective, grantable(permitted, held)),
    ],
    [
      "ignoring ambient capabilities that are not permitted and inheritable",
      without(ambient, both),
    ],
  ];
  return lists
    .filter(([, names]) => names.length > 0)
    .map(([why, n]) => `${why}: [${n.join(" ")}]`);
}

/** The names in a mask, in the kernel's order. */
export function capabilitiesOf(mask: bigint): string[] {
  return capabilityNames.filter((_, number) => (mask >> BigInt(number)) & 1n);
}

/** Every capability up to the kernel's last one. */
export function fullMask(lastCapability: number): bigint {
  return (1n << BigInt(lastCapability + 1)) - 1n;
}
