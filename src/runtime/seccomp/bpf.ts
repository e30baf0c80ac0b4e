// Classic BPF as seccomp takes it: struct sock_filter {u16 code, u8 jt, u8 jf, u32 k}. Jumps are
// relative, forward only, and eight bits wide; longer ones go through an unconditional jump.
// Source: include/uapi/linux/{filter,bpf_common,seccomp}.h.

export interface Instruction {
  code: number;
  jt: number;
  jf: number;
  k: number;
}

export const CODE = {
  LOAD: 0x20, // BPF_LD | BPF_W | BPF_ABS
  AND: 0x54, // BPF_ALU | BPF_AND | BPF_K
  JA: 0x05,
  JEQ: 0x15,
  JGT: 0x25,
  JGE: 0x35,
  RET: 0x06,
} as const;

/** Offsets in struct seccomp_data (little-endian hosts). */
export const DATA = { nr: 0, arch: 4 } as const;
export const argumentLow = (index: number): number => 16 + 8 * index;
export const argumentHigh = (index: number): number => argumentLow(index) + 4;

export const RET = {
  KILL_PROCESS: 0x80000000,
  KILL_THREAD: 0x00000000,
  TRAP: 0x00030000,
  ERRNO: 0x00050000,
  NOTIFY: 0x7fc00000,
  TRACE: 0x7ff00000,
  LOG: 0x7ffc0000,
  ALLOW: 0x7fff0000,
} as const;

/** The kernel's BPF_MAXINSNS. */
export const INSTRUCTIONS_MAX = 4096;

const JUMP_MAX = 255;

export const load = (offset: number): Instruction => ({ code: CODE.LOAD, jt: 0, jf: 0, k: offset });
export const and = (mask: number): Instruction => ({
  code: CODE.AND,
  jt: 0,
  jf: 0,
  k: mask >>> 0,
});
export const ret = (value: number): Instruction => ({
  code: CODE.RET,
  jt: 0,
  jf: 0,
  k: value >>> 0,
});

/** "if (A <test> k) yes else no", whatever their lengths; both must end in RET. */
export function branch(
  test: number,
  k: number,
  yes: readonly Instruction[],
  no: readonly Instruction[],
): Instruction[] {
  // The shorter side comes first, so that the long jump is rarely needed.
  if (no.length <= JUMP_MAX) {
    return [{ code: test, jt: no.length, jf: 0, k: k >>> 0 }, ...no, ...yes];
  }
  if (yes.length <= JUMP_MAX) {
    return [{ code: test, jt: 0, jf: yes.length, k: k >>> 0 }, ...yes, ...no];
  }
  return [
    { code: test, jt: 0, jf: 1, k: k >>> 0 },
    { code: CODE.JA, jt: 0, jf: 0, k: no.length },
    ...no,
    ...yes,
  ];
}

/** The bytes of a struct sock_filter array. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * 8));
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    view.setUint16(i * 8, code, true);
    view.setUint8(i * 8 + 2, jt);
    view.setUint8(i * 8 + 3, jf);
    view.setUint32(i * 8 + 4, k, true);
  }
  return new Uint8Array(view.buffer);
}
