// linux.seccomp, name by name: what a filter does to system calls of a real program, of every ABI
// that this processor has.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
// The numbers are the kernel's, the same as in its headers.
import { architectures, nativeArchitecture } from "../../../src/runtime/seccomp/architectures.ts";
import type { OciSeccomp, OciSeccompArg, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture, type Result } from "../../support/oci-fixture.ts";
import { outside, refusal, started, statusLine } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

const machine = process.arch === "x64" ? "x86_64" : "aarch64";
const native = nativeArchitecture[machine];
const isX86 = machine === "x86_64";
const number = (name: string) => native.syscalls.get(name)!;
const CALL = "getppid"; // takes no arguments, so that any may be given
const NR = number(CALL);

let oci: OciFixture;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const withFilter =
  (seccomp: OciSeccomp, noNewPrivileges = false) =>
  (spec: OciSpec) => {
    spec.process!.noNewPrivileges = noNewPrivileges;
    spec.linux!.seccomp = seccomp;
  };

/** Everything is allowed but what the rule says of one call. */
const only = (action: string, more: { errnoRet?: number; args?: OciSeccompArg[] } = {}) => ({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: [CALL], action, ...more }],
});

async function run(seccomp: OciSeccomp, args: string[], noNewPrivileges = false): Promise<Result> {
  const { id, bundle } = await oci.bundle(args, withFilter(seccomp, noNewPrivileges));
  const result = await oci.call("run", "-b", bundle, id);
  await oci.call("delete", "-f", id);
  return result;
}

async function output(seccomp: OciSeccomp, args: string[]): Promise<string> {
  const { stdout, stderr, code } = await run(seccomp, args);
  assert.equal(code, 0, stderr);
  return stdout.trimEnd();
}

const SIGSYS_CODE = 128 + 31;

suite("actions", () => {
  test(`a call fails with the errno of its rule, or EPERM ${proves("seccomp-action", "SCMP_ACT_ERRNO")} ${proves("config", "linux.seccomp.syscalls[]", "linux.seccomp.syscalls[].names[]", "linux.seccomp.syscalls[].action", "linux.seccomp.syscalls[].errnoRet")}`, async () => {
    const errno = (errnoRet?: number) =>
      output(only("SCMP_ACT_ERRNO", errnoRet === undefined ? {} : { errnoRet }), ["call", `${NR}`]);
    assert.equal(await errno(), "errno 1");
    assert.equal(await errno(71), "errno 71");
    assert.equal(await errno(0), "ok 0");
  });

  test(`what no rule names gets the default ${proves("seccomp-action", "SCMP_ACT_ALLOW")} ${proves("config", "linux.seccomp", "linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet")}`, async () => {
    const names = [...native.syscalls.keys()].filter((name) => name !== CALL);
    const profile = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
    };
    const calls = ["call", `${NR}`, `${number("getpid")}`];
    assert.equal(await output(profile, calls), "errno 1\nok 1");
    assert.equal(await output({ ...profile, defaultErrnoRet: 99 }, calls), "errno 99\nok 1");
  });

  test(`killing ends the process or the thread ${proves("seccomp-action", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS")}`, async () => {
    const cases: [action: string, code: number, stdout: string][] = [
      ["SCMP_ACT_KILL", 0, "the process goes on\n"],
      ["SCMP_ACT_KILL_THREAD", 0, "the process goes on\n"],
      ["SCMP_ACT_KILL_PROCESS", SIGSYS_CODE, ""],
    ];
    for (const [action, code, stdout] of cases) {
      const threaded = await run(only(action), ["threadcall", `${NR}`]);
      assert.deepEqual([threaded.code, threaded.stdout], [code, stdout], action);
      const alone = await run(only(action), ["call", `${NR}`]);
      assert.deepEqual([alone.code, alone.stdout], [SIGSYS_CODE, ""], action);
    }
  });

  test(`a trap is a signal that tells the call ${proves("seccomp-action", "SCMP_ACT_TRAP")}`, async () => {
    const said = await output(only("SCMP_ACT_TRAP"), ["trapcall", `${NR}`]);
    const arch = native.audit.toString(16);
    assert.match(said, new RegExp(`^signal 31 code 1 errno 0 syscall ${NR} arch ${arch}\n`));
    assert.equal((await run(only("SCMP_ACT_TRAP"), ["call", `${NR}`])).code, SIGSYS_CODE);
  });

  test(`a tracer gets the message, and without one there is no such call ${proves("seccomp-action", "SCMP_ACT_TRACE")}`, async () => {
    const rule = only("SCMP_ACT_TRACE", { errnoRet: 42 });
    assert.match(await output(rule, ["tracecall", `${NR}`]), /^traced 42\nok \d+$/);
    assert.equal(await output(rule, ["call", `${NR}`]), "errno 38");
  });

  test(`a logged call is made, and the filter in force says so ${proves("seccomp-action", "SCMP_ACT_LOG")}`, async () => {
    assert.equal(await output(only("SCMP_ACT_LOG"), ["call", `${NR}`]), "ok 0");
    await using container = await started(oci, withFilter(only("SCMP_ACT_LOG")));
    assert.match(await outside("filter", `${container.pid}`), /^6 0 0 7ffc0000$/m);
    assert.equal(await statusLine(container.pid, "Seccomp"), "2");
    assert.equal(await statusLine(container.pid, "Seccomp_filters"), "1");
  });

  test("a filter holds for an exec too, with and without no_new_privs", async () => {
    for (const strict of [false, true]) {
      await using container = await started(oci, withFilter(only("SCMP_ACT_ERRNO"), strict));
      assert.equal(await statusLine(container.pid, "Seccomp"), "2");
      assert.equal(await statusLine(container.pid, "NoNewPrivs"), strict ? "1" : "0");
      assert.equal(await oci.ok("exec", container.id, "call", `${NR}`), "errno 1\n");
    }
  });
});

suite("comparisons of arguments", () => {
  const BIG = 2n ** 63n + 2n ** 32n + 5n; // both halves matter, and no double can hold it
  type Case = {
    row: string;
    arg: Omit<OciSeccompArg, "index">;
    meets: (bigint | number)[];
    misses: (bigint | number)[];
  };
  const HIGH = 2n ** 32n;
  const CASES: Case[] = [
    {
      row: proves("seccomp-op", "SCMP_CMP_EQ"),
      arg: { op: "SCMP_CMP_EQ", value: BIG },
      meets: [BIG],
      misses: [BIG + 1n, BIG + HIGH, 5],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_NE"),
      arg: { op: "SCMP_CMP_NE", value: BIG },
      meets: [BIG + 1n, BIG - HIGH, 5],
      misses: [BIG],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_LT"),
      arg: { op: "SCMP_CMP_LT", value: BIG },
      meets: [0, BIG - 1n, BIG - HIGH + 100n],
      misses: [BIG, BIG + 1n, BIG + HIGH - 5n],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_LE"),
      arg: { op: "SCMP_CMP_LE", value: BIG },
      meets: [0, BIG, BIG - HIGH + 100n],
      misses: [BIG + 1n, BIG + HIGH - 5n],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_GT"),
      arg: { op: "SCMP_CMP_GT", value: BIG },
      meets: [BIG + 1n, BIG + HIGH - 5n],
      misses: [0, BIG, BIG - HIGH + 100n],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_GE"),
      arg: { op: "SCMP_CMP_GE", value: BIG },
      meets: [BIG, BIG + 1n, BIG + HIGH - 5n],
      misses: [0, BIG - 1n, BIG - HIGH + 100n],
    },
    {
      row: proves("seccomp-op", "SCMP_CMP_MASKED_EQ"),
      arg: { op: "SCMP_CMP_MASKED_EQ", value: 2n ** 63n + 0xf0n, valueTwo: 2n ** 63n + 0x50n },
      meets: [2n ** 63n + 0x5fn, 2n ** 63n + HIGH + 0x50n],
      misses: [0x50, 2n ** 63n + 0x60n],
    },
  ];
  for (const { row, arg, meets, misses } of CASES) {
    test(`the comparison holds for 64 bits ${row} ${proves("config", "linux.seccomp.syscalls[].args[]", "linux.seccomp.syscalls[].args[].index", "linux.seccomp.syscalls[].args[].value", "linux.seccomp.syscalls[].args[].valueTwo", "linux.seccomp.syscalls[].args[].op")}`, async () => {
      const rule = only("SCMP_ACT_ERRNO", { errnoRet: 9, args: [{ index: 2, ...arg }] });
      const calls = [...meets, ...misses].map((value) => `${NR}:0:0:${value}`);
      const said = (await output(rule, ["call", ...calls])).split("\n");
      assert.deepEqual(said, [...meets.map(() => "errno 9"), ...misses.map(() => "ok 0")]);
    });
  }

  test("the arguments of a rule must all match, those of one index may, and the last index is 5", async () => {
    const of = (index: number, value: number): OciSeccompArg => ({
      index,
      value,
      op: "SCMP_CMP_EQ",
    });
    const all = only("SCMP_ACT_ERRNO", { args: [of(0, 1), of(5, 2)] });
    const said = await output(all, ["call", `${NR}:1:0:0:0:0:2`, `${NR}:1`, `${NR}:0:0:0:0:0:2`]);
    assert.equal(said, "errno 1\nok 0\nok 0");
    const either = only("SCMP_ACT_ERRNO", { args: [of(0, 1), of(0, 2)] });
    assert.equal(
      await output(either, ["call", `${NR}:1`, `${NR}:2`, `${NR}:3`]),
      "errno 1\nerrno 1\nok 0",
    );
  });
});

suite("flags", () => {
  test(`violations are logged where that is asked for ${proves("seccomp-flag", "SECCOMP_FILTER_FLAG_LOG")} ${proves("config", "linux.seccomp.flags[]")}`, async () => {
    const flagsOf = async (flags: string[]) => {
      const change = withFilter({ ...only("SCMP_ACT_ERRNO"), flags });
      await using container = await started(oci, change);
      return (await outside("filter", `${container.pid}`)).split("\n")[0];
    };
    assert.equal(await flagsOf(["SECCOMP_FILTER_FLAG_LOG"]), "flags=2");
    assert.equal(await flagsOf([]), "flags=0");
  });

  test(`speculation is left alone where that is asked for, and by default ${proves("seccomp-flag", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")}`, async () => {
    const bypass = async (flags?: string[]) => {
      const change = withFilter({ ...only("SCMP_ACT_ERRNO"), ...(flags && { flags }) });
      await using container = await started(oci, change);
      return await statusLine(container.pid, "Speculation_Store_Bypass");
    };
    const own = await statusLine(process.pid, "Speculation_Store_Bypass");
    assert.equal(await bypass(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]), own);
    assert.equal(await bypass(), own);
    // A processor without a switch for each thread has nothing to tell.
    if (own.startsWith("thread ")) assert.match(await bypass([]), /force mitigated/);
  });
});

suite("architectures", () => {
  const ROWS: [row: string, name: string][] = [
    [proves("seccomp-arch", "SCMP_ARCH_X86"), "SCMP_ARCH_X86"],
    [proves("seccomp-arch", "SCMP_ARCH_X86_64"), "SCMP_ARCH_X86_64"],
    [proves("seccomp-arch", "SCMP_ARCH_X32"), "SCMP_ARCH_X32"],
    [proves("seccomp-arch", "SCMP_ARCH_ARM"), "SCMP_ARCH_ARM"],
    [proves("seccomp-arch", "SCMP_ARCH_AARCH64"), "SCMP_ARCH_AARCH64"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPS"), "SCMP_ARCH_MIPS"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPS64"), "SCMP_ARCH_MIPS64"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPS64N32"), "SCMP_ARCH_MIPS64N32"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPSEL"), "SCMP_ARCH_MIPSEL"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPSEL64"), "SCMP_ARCH_MIPSEL64"],
    [proves("seccomp-arch", "SCMP_ARCH_MIPSEL64N32"), "SCMP_ARCH_MIPSEL64N32"],
    [proves("seccomp-arch", "SCMP_ARCH_PPC"), "SCMP_ARCH_PPC"],
    [proves("seccomp-arch", "SCMP_ARCH_PPC64"), "SCMP_ARCH_PPC64"],
    [proves("seccomp-arch", "SCMP_ARCH_PPC64LE"), "SCMP_ARCH_PPC64LE"],
    [proves("seccomp-arch", "SCMP_ARCH_S390"), "SCMP_ARCH_S390"],
    [proves("seccomp-arch", "SCMP_ARCH_S390X"), "SCMP_ARCH_S390X"],
    [proves("seccomp-arch", "SCMP_ARCH_PARISC"), "SCMP_ARCH_PARISC"],
    [proves("seccomp-arch", "SCMP_ARCH_PARISC64"), "SCMP_ARCH_PARISC64"],
    [proves("seccomp-arch", "SCMP_ARCH_RISCV64"), "SCMP_ARCH_RISCV64"],
    [proves("seccomp-arch", "SCMP_ARCH_LOONGARCH64"), "SCMP_ARCH_LOONGARCH64"],
    [proves("seccomp-arch", "SCMP_ARCH_M68K"), "SCMP_ARCH_M68K"],
    [proves("seccomp-arch", "SCMP_ARCH_SH"), "SCMP_ARCH_SH"],
    [proves("seccomp-arch", "SCMP_ARCH_SHEB"), "SCMP_ARCH_SHEB"],
  ];
  for (const [row, name] of ROWS) {
    test(`an architecture may be named, and the machine's own is covered ${row}`, async () => {
      const profile = { ...only("SCMP_ACT_ERRNO"), architectures: [name] };
      assert.equal(await output(profile, ["call", `${NR}`]), "errno 1");
    });
  }

  test(`programs of another ABI meet the rules where it is named, and die where it is not ${proves("config", "linux.seccomp.architectures[]")}`, async (t) => {
    if (!isX86) return t.skip("no other ABI on this machine");
    const narrow = architectures.get("SCMP_ARCH_X86")!.syscalls.get(CALL);
    const profile = (...names: string[]) => ({ ...only("SCMP_ACT_ERRNO"), architectures: names });
    const x86 = ["call", `i386:${narrow}`];
    assert.equal(await output(profile("SCMP_ARCH_X86"), x86), "errno 1");
    assert.equal((await run(profile("SCMP_ARCH_X86_64"), x86)).code, SIGSYS_CODE);
    const x32 = ["call", `x32:${NR}`];
    assert.equal(await output(profile("SCMP_ARCH_X86_64", "SCMP_ARCH_X32"), x32), "errno 1");
    assert.equal((await run(profile("SCMP_ARCH_X86_64"), x32)).code, SIGSYS_CODE);
  });

  test("an argument of a 32-bit program is compared with 32 bits", async (t) => {
    if (!isX86) return t.skip("no other ABI on this machine");
    const narrow = architectures.get("SCMP_ARCH_X86")!.syscalls.get(CALL);
    const args: OciSeccompArg[] = [{ index: 1, value: 0xffffffff, op: "SCMP_CMP_EQ" }];
    const rule = { ...only("SCMP_ACT_ERRNO", { args }), architectures: ["SCMP_ARCH_X86"] };
    const said = await output(rule, ["call", `i386:${narrow}:0:0xffffffff`, `i386:${narrow}:0:7`]);
    assert.equal(said, "errno 1\nok 0");
  });
});

test("a profile that means nothing, or that this kernel cannot give, is refused", async () => {
  const path = "/nowhere.sock";
  const arg = (more: Partial<OciSeccompArg>) => ({
    args: [{ index: 0, value: 0, op: "SCMP_CMP_EQ", ...more }],
  });
  const cases: [OciSeccomp, RegExp][] = [
    [{ defaultAction: "SCMP_ACT_X" }, /unknown action .*SCMP_ACT_X/],
    [only("SCMP_ACT_X"), /unknown action/],
    [only("SCMP_ACT_ALLOW", { errnoRet: 1 }), /SCMP_ACT_ALLOW takes no errnoRet/],
    [{ ...only("SCMP_ACT_ERRNO"), defaultErrnoRet: 1 }, /SCMP_ACT_ALLOW takes no errnoRet/],
    [only("SCMP_ACT_ERRNO", { errnoRet: 5000 }), /invalid errnoRet 5000/],
    [only("SCMP_ACT_ERRNO", arg({ index: 6 })), /invalid argument index 6/],
    [only("SCMP_ACT_ERRNO", arg({ op: "SCMP_CMP_X" })), /unknown operator/],
    [{ ...only("SCMP_ACT_ERRNO"), architectures: ["SCMP_ARCH_Z80"] }, /unknown architecture/],
    [{ ...only("SCMP_ACT_ERRNO"), flags: ["SECCOMP_FILTER_FLAG_X"] }, /flag .* is not known/],
    [
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_ERRNO" }] },
      /a rule without names/,
    ],
    [only("SCMP_ACT_NOTIFY"), /SCMP_ACT_NOTIFY needs a listenerPath/],
    [{ ...only("SCMP_ACT_ERRNO"), listenerMetadata: "x" }, /listenerMetadata needs a listenerPath/],
    [
      { ...only("SCMP_ACT_ERRNO"), flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] },
      /WAIT_KILLABLE_RECV needs SCMP_ACT_NOTIFY/,
    ],
    [{ ...only("SCMP_ACT_NOTIFY"), listenerPath: path }, /cannot connect to the seccomp agent/],
  ];
  for (const [seccomp, message] of cases) {
    assert.match(await refusal(oci, withFilter(seccomp)), message);
  }
  // An agent that nobody is to ask need not be there.
  const unasked = { ...only("SCMP_ACT_ERRNO"), listenerPath: path };
  assert.equal(await output(unasked, ["call", `${NR}`]), "errno 1");
});
