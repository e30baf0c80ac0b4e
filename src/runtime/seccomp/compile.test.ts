import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { OciSeccomp } from "../../spec/index.ts";
import { architectures, type SeccompArchitecture, X32_BIT } from "./architectures.ts";
import { CODE, RET } from "./bpf.ts";
import { compileSeccomp } from "./compile.ts";
import { defaultSeccomp, kernelAtLeast, parseSeccomp } from "./docker-profile.ts";
import { ENOSYS_ACTION, evaluate, rulesFor } from "./rules.ts";

const seccompActions = ["allow", "kill_process", "log", "user_notif"];
const kernel = { arch: "x86_64" as const, release: "6.18.0", seccompActions };
const x86_64 = architectures.get("SCMP_ARCH_X86_64")!;
const x32 = architectures.get("SCMP_ARCH_X32")!;
const x86 = architectures.get("SCMP_ARCH_X86")!;
const EPERM_ACTION = RET.ERRNO | 1;

function filterOf(profile: OciSeccomp): Uint8Array {
  const { seccomp } = compileSeccomp(profile, kernel);
  return seccomp!.filter;
}

/** The kernel's classic BPF machine, as far as seccomp lets programs use it. */
function run(filter: Uint8Array, audit: number, nr: number, args: readonly bigint[]): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, audit, true);
  for (const [i, arg] of args.entries()) data.setBigUint64(16 + 8 * i, arg, true);
  const code = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  let a = 0;
  for (let pc = 0; pc * 8 < filter.length; pc++) {
    const op = code.getUint16(pc * 8, true);
    const [jt, jf] = [code.getUint8(pc * 8 + 2), code.getUint8(pc * 8 + 3)];
    const k = code.getUint32(pc * 8 + 4, true);
    if (op === CODE.LOAD) a = data.getUint32(k, true);
    else if (op === CODE.AND) a = (a & k) >>> 0;
    else if (op === CODE.JA) pc += k;
    else if (op === CODE.JEQ) pc += a === k ? jt : jf;
    else if (op === CODE.JGT) pc += a > k ? jt : jf;
    else if (op === CODE.JGE) pc += a >= k ? jt : jf;
    else if (op === CODE.RET) return k;
    else assert.fail(`instruction ${op.toString(16)} at ${pc}`);
  }
  return assert.fail("the program ran past its end");
}

const call = (filter: Uint8Array, arch: SeccompArchitecture, name: string, ...args: bigint[]) =>
  run(filter, arch.audit, arch.syscalls.get(name)! + arch.bit, args);

const capabilities = ["CAP_CHOWN", "CAP_KILL"];
const standard = filterOf(defaultSeccomp(capabilities, kernel));

test("the default profile decides on arguments as Docker's does", () => {
  assert.equal(call(standard, x86_64, "read"), RET.ALLOW);
  assert.equal(call(standard, x86_64, "socket", 2n), RET.ALLOW);
  assert.equal(call(standard, x86_64, "socket", 34n), RET.ALLOW);
  assert.equal(call(standard, x86_64, "socket", 44n), RET.ALLOW);
  for (const family of [33n, 38n, 40n]) {
    assert.equal(call(standard, x86_64, "socket", family), EPERM_ACTION);
  }
  assert.equal(call(standard, x86_64, "personality", 0xffffffffn), RET.ALLOW);
  assert.equal(call(standard, x86_64, "personality", 0x0400000n), EPERM_ACTION);
  assert.equal(call(standard, x86_64, "clone", 0x11n), RET.ALLOW);
  assert.equal(call(standard, x86_64, "clone", 0x10000000n), EPERM_ACTION);
  assert.equal(call(standard, x86_64, "clone3"), ENOSYS_ACTION);
  assert.equal(call(standard, x86_64, "ptrace"), RET.ALLOW);
  const forbidden = "mount unshare bpf keyctl add_key request_key io_uring_setup kexec_load";
  for (const name of forbidden.split(" ")) {
    assert.equal(call(standard, x86_64, name), EPERM_ACTION, name);
  }
});

test("all three x86 ABIs are covered, any other is killed", () => {
  assert.equal(call(standard, x86, "mount"), EPERM_ACTION);
  assert.equal(call(standard, x86, "socketcall"), RET.ALLOW);
  assert.equal(call(standard, x86, "clone", 0x10000000n), EPERM_ACTION);
  assert.equal(call(standard, x32, "read"), RET.ALLOW);
  assert.equal(call(standard, x32, "mount"), EPERM_ACTION);
  assert.equal(run(standard, 0xc00000b7, 63, []), RET.KILL_PROCESS);
  const narrow = filterOf({ defaultAction: "SCMP_ACT_ALLOW" });
  assert.equal(run(narrow, x86_64.audit, X32_BIT + 1, []), RET.KILL_PROCESS);
  assert.equal(run(narrow, x86.audit, 1, []), RET.KILL_PROCESS);
});

test("a system call newer than the profile gets ENOSYS, an older unlisted one EPERM", () => {
  assert.equal(run(standard, x86_64.audit, 500, []), ENOSYS_ACTION);
  assert.equal(run(standard, x86_64.audit, 425, []), EPERM_ACTION);
});

test("capabilities open what belongs to them", () => {
  const admin = filterOf(defaultSeccomp(["CAP_SYS_ADMIN"], kernel));
  assert.equal(call(admin, x86_64, "mount"), RET.ALLOW);
  assert.equal(call(admin, x86_64, "clone", 0x10000000n), RET.ALLOW);
  assert.equal(call(admin, x86_64, "clone3"), RET.ALLOW);
  const time = filterOf(defaultSeccomp(["CAP_SYS_TIME"], kernel));
  assert.equal(call(time, x86_64, "clock_settime"), RET.ALLOW);
  assert.equal(call(time, x86_64, "mount"), EPERM_ACTION);
});

test("one profile gives the same bytes, from memory", () => {
  const again = defaultSeccomp([...capabilities].reverse(), kernel);
  assert.equal(filterOf(again), standard);
  assert.ok(standard.length / 8 < 1500, `${standard.length / 8} instructions`);
});

test("Docker's profile JSON is resolved by architecture, kernel and capability", () => {
  const text = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW",
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [
      { name: "mkdir", action: "SCMP_ACT_ERRNO", errnoRet: 12 },
      { names: ["chmod"], action: "SCMP_ACT_ERRNO", includes: { minKernel: "99.1" } },
      { names: ["chown"], action: "SCMP_ACT_ERRNO", excludes: { caps: ["CAP_KILL"] } },
      { names: ["rmdir"], action: "SCMP_ACT_ERRNO", includes: { arches: ["arm64"] } },
    ],
  });
  const profile = parseSeccomp(text, capabilities, kernel)!;
  assert.deepEqual(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  const filter = filterOf(profile);
  assert.equal(call(filter, x86_64, "mkdir"), RET.ERRNO | 12);
  for (const name of ["chmod", "chown", "rmdir"]) {
    assert.equal(call(filter, x86_64, name), RET.ALLOW, name);
  }
  assert.throws(() => parseSeccomp("{", [], kernel), /Decoding seccomp profile failed/);
  assert.equal(parseSeccomp("{}", [], kernel), undefined);
  assert.ok(kernelAtLeast("5.10.0-8", "4.8"));
  assert.ok(!kernelAtLeast("4.7.9", "4.8"));
});

test("an arm64 machine filters programs of its own and of 32-bit arm, by their own numbers", () => {
  const host = { ...kernel, arch: "aarch64" as const };
  const profile = defaultSeccomp(capabilities, host);
  assert.deepEqual(profile.architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  const { filter } = compileSeccomp(profile, host).seccomp!;
  const own = architectures.get("SCMP_ARCH_AARCH64")!;
  const arm = architectures.get("SCMP_ARCH_ARM")!;
  assert.equal(call(filter, own, "openat"), RET.ALLOW);
  assert.equal(call(filter, own, "mount"), EPERM_ACTION);
  // mkdir is 39 of arm and nothing of arm64, where 39 is umount2.
  for (const name of ["mkdir", "open", "set_tls", "cacheflush", "futex_time64"]) {
    assert.equal(call(filter, arm, name), RET.ALLOW, name);
  }
  assert.equal(call(filter, arm, "mount"), EPERM_ACTION);
  assert.equal(call(filter, arm, "clone", 0x10000000n), EPERM_ACTION);
  assert.equal(run(filter, own.audit, 39, [0n]), EPERM_ACTION);
  assert.equal(run(filter, x86_64.audit, 39, [0n]), RET.KILL_PROCESS);
});

const interesting = fc.oneof(
  fc.constantFrom(0n, 1n, 0xffffffffn, 0x100000000n, 0xffffffffffffffffn, 0x7fffffffffffffffn),
  fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
  fc.bigInt({ min: 0n, max: 4n }),
);
const argument = fc.record({
  index: fc.nat({ max: 5 }),
  value: interesting,
  valueTwo: interesting,
  op: fc
    .constantFrom("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")
    .map((op) => `SCMP_CMP_${op}`),
});
const names = ["read", "write", "open", "socket", "clone", "mount", "mkdir", "ptrace", "bpf"];
const profiles: fc.Arbitrary<OciSeccomp> = fc.record({
  defaultAction: fc.constantFrom("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"),
  architectures: fc.subarray(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
  syscalls: fc.array(
    fc.record({
      names: fc.subarray(names, { minLength: 1 }),
      action: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"),
      args: fc.array(argument, { maxLength: 3 }),
    }),
    { maxLength: 6 },
  ),
});

test("the compiled filter agrees with the rules, for any profile, call and arguments", () => {
  const property = fc.property(
    profiles,
    fc.array(interesting, { minLength: 6, maxLength: 6 }),
    fc.nat({ max: 500 }),
    (profile, args, extra) => {
      const filter = filterOf(profile);
      const covered = new Set(["SCMP_ARCH_X86_64", ...(profile.architectures ?? [])]);
      for (const arch of [x86_64, x32, x86]) {
        if (!covered.has(arch.name)) continue;
        // Arguments of a 32-bit ABI have no upper half.
        const given = arch.narrow ? args.map((a) => a & 0xffffffffn) : args;
        const rules = rulesFor(profile, arch);
        const numbers = [...names.map((n) => arch.syscalls.get(n)!), extra].map(
          (n) => n + arch.bit,
        );
        for (const nr of numbers) {
          assert.equal(run(filter, arch.audit, nr, given), evaluate(rules, nr, given));
        }
      }
    },
  );
  fc.assert(property, { numRuns: 200 });
});
