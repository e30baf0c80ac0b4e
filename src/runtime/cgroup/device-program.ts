// The v2 form of a device policy: a BPF_PROG_TYPE_CGROUP_DEVICE program. The kernel calls it at
// each open and mknod with struct bpf_cgroup_dev_ctx {access_type, major, minor}; access_type
// carries the kind of device in its low half and the wanted access in its high half.
// Source: include/uapi/linux/bpf.h.

import type { DeviceException, DevicePolicy } from "./device-rules.ts";

const KIND = { b: 1, c: 2 } as const;
const BPF = {
  LDX_W: 0x61, // dst = *(u32 *)(src + off)
  MOV32_REG: 0xbc,
  MOV32_IMM: 0xb4,
  MOV64_IMM: 0xb7,
  AND32_IMM: 0x54,
  RSH32_IMM: 0x74,
  JNE32_IMM: 0x56,
  JEQ32_IMM: 0x16,
  JNE32_REG: 0x5e,
  EXIT: 0x95,
} as const;
const R = { result: 0, context: 1, kind: 2, access: 3, major: 4, minor: 5, scratch: 6 } as const;

class Assembler {
  readonly #code: number[] = [];
  add(op: number, dst = 0, src = 0, offset = 0, immediate = 0): number {
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setUint8(0, op);
    bytes.setUint8(1, dst | (src << 4));
    bytes.setInt16(2, offset, true);
    bytes.setInt32(4, immediate, true);
    this.#code.push(...new Uint8Array(bytes.buffer));
    return this.#code.length / 8 - 1;
  }
  /** Lets the jumps lead to the next instruction. */
  land(jumps: readonly number[]): void {
    const here = this.#code.length / 8;
    for (const jump of jumps) {
      const offset = here - jump - 1;
      this.#code[jump * 8 + 2] = offset & 0xff;
      this.#code[jump * 8 + 3] = offset >> 8;
    }
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.#code);
  }
}

/** The bytes of the program's struct bpf_insn array. */
export function deviceProgram(policy: DevicePolicy): Uint8Array {
  const code = new Assembler();
  code.add(BPF.LDX_W, R.kind, R.context, 0);
  code.add(BPF.MOV32_REG, R.access, R.kind);
  code.add(BPF.AND32_IMM, R.kind, 0, 0, 0xffff);
  code.add(BPF.RSH32_IMM, R.access, 0, 0, 16);
  code.add(BPF.LDX_W, R.major, R.context, 4);
  code.add(BPF.LDX_W, R.minor, R.context, 8);
  for (const exception of policy.exceptions) addException(code, exception, policy.allowByDefault);
  code.add(BPF.MOV64_IMM, R.result, 0, 0, policy.allowByDefault ? 1 : 0);
  code.add(BPF.EXIT);
  return code.bytes();
}

function addException(code: Assembler, e: DeviceException, allowByDefault: boolean): void {
  const misses = [code.add(BPF.JNE32_IMM, R.kind, 0, 0, KIND[e.type])];
  if (e.major >= 0) misses.push(code.add(BPF.JNE32_IMM, R.major, 0, 0, e.major));
  if (e.minor >= 0) misses.push(code.add(BPF.JNE32_IMM, R.minor, 0, 0, e.minor));
  code.add(BPF.MOV32_REG, R.scratch, R.access);
  code.add(BPF.AND32_IMM, R.scratch, 0, 0, e.access);
  // An exception that allows must cover all that is wanted; one that denies, any of it.
  misses.push(
    allowByDefault
      ? code.add(BPF.JEQ32_IMM, R.scratch, 0, 0, 0)
      : code.add(BPF.JNE32_REG, R.scratch, R.access),
  );
  code.add(BPF.MOV64_IMM, R.result, 0, 0, allowByDefault ? 0 : 1);
  code.add(BPF.EXIT);
  code.land(misses);
}
