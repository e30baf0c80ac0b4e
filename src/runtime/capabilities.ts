// Capability names and masks. Order is the kernel's numbering (include/uapi/linux/capability.h).

import { GantryError } from "../base/index.ts";

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

/** The names in a mask, in the kernel's order. */
export function capabilitiesOf(mask: bigint): string[] {
  return capabilityNames.filter((_, number) => (mask >> BigInt(number)) & 1n);
}

/** Every capability up to the kernel's last one. */
export function fullMask(lastCapability: number): bigint {
  return (1n << BigInt(lastCapability + 1)) - 1n;
}
