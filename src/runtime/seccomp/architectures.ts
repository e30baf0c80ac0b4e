// The ABIs that a filter can tell apart: the kernel's audit architecture and, for x32, a bit in the
// system call's number. A system call of an ABI that a filter does not cover kills the process.
// Source: include/uapi/linux/audit.h, arch/x86/include/uapi/asm/unistd.h.

import { SYSCALLS_AARCH64 } from "./syscalls-aarch64.ts";
import { SYSCALLS_ARM } from "./syscalls-arm.ts";
import { SYSCALLS_X32 } from "./syscalls-x32.ts";
import { SYSCALLS_X86 } from "./syscalls-x86.ts";
import { SYSCALLS_X86_64 } from "./syscalls-x86-64.ts";

export interface SeccompArchitecture {
  name: string; // SCMP_ARCH_…
  /** seccomp_data.arch */
  audit: number;
  /** Set in every number of this ABI. */
  bit: number;
  /** Arguments are 32 bits wide. */
  narrow: boolean;
  syscalls: ReadonlyMap<string, number>;
}

export const X32_BIT = 0x40000000;

const x86_64: SeccompArchitecture = {
  name: "SCMP_ARCH_X86_64",
  audit: 0xc000003e,
  bit: 0,
  narrow: false,
  syscalls: parse(SYSCALLS_X86_64),
};
const x32: SeccompArchitecture = {
  name: "SCMP_ARCH_X32",
  audit: 0xc000003e,
  bit: X32_BIT,
  narrow: false,
  syscalls: parse(SYSCALLS_X32),
};
const x86: SeccompArchitecture = {
  name: "SCMP_ARCH_X86",
  audit: 0x40000003,
  bit: 0,
  narrow: true,
  syscalls: parse(SYSCALLS_X86),
};
const aarch64: SeccompArchitecture = {
  name: "SCMP_ARCH_AARCH64",
  audit: 0xc00000b7,
  bit: 0,
  narrow: false,
  syscalls: parse(SYSCALLS_AARCH64),
};
const arm: SeccompArchitecture = {
  name: "SCMP_ARCH_ARM",
  audit: 0x40000028,
  bit: 0,
  narrow: true,
  syscalls: parse(SYSCALLS_ARM),
};

export const architectures: ReadonlyMap<string, SeccompArchitecture> = new Map(
  [x86_64, x32, x86, aarch64, arm].map((arch) => [arch.name, arch]),
);

const OTHERS = [
  "MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC",
  "PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB",
]
  .join(" ")
  .split(" ");

/** All that a profile may name. Programs of those that no filter here covers do not run here. */
export const architectureNames: readonly string[] = [
  ...architectures.keys(),
  ...OTHERS.map((name) => `SCMP_ARCH_${name}`),
];

export const nativeArchitecture = { x86_64, aarch64 } as const;

function parse(table: string): Map<string, number> {
  const syscalls = new Map<string, number>();
  let next = 0;
  for (const word of table.trim().split(/\s+/)) {
    if (/^\d+$/.test(word)) next = Number(word);
    else syscalls.set(word, next++);
  }
  return syscalls;
}
