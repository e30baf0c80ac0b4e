// process.scheduler, ioPriority and execCPUAffinity, linux.personality and linux.memoryPolicy: each
// name of the specification's lists is set for real and asked back from the kernel.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import type { OciLinux, OciProcess, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  outside,
  printed,
  procText,
  refusal,
  started,
  statusLine,
} from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

type Scheduler = NonNullable<OciProcess["scheduler"]>;

let oci: OciFixture;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const set = (more: Partial<OciProcess>) => (spec: OciSpec) => {
  Object.assign(spec.process!, more);
};
const setLinux = (more: Partial<OciLinux>) => (spec: OciSpec) => {
  Object.assign(spec.linux!, more);
};

suite("the scheduler", () => {
  const MS = 1_000_000;
  const deadline = {
    policy: "SCHED_DEADLINE",
    ...{ runtime: 5 * MS, deadline: 40 * MS, period: 50 * MS },
  };
  const CASES: { row: string; scheduler: Scheduler; seen: RegExp; realtime?: true }[] = [
    {
      row: proves("sched-policy", "SCHED_OTHER"),
      scheduler: { policy: "SCHED_OTHER", nice: 7 },
      seen: /^policy=0 nice=7 priority=0 flags=0 /,
    },
    {
      row: proves("sched-policy", "SCHED_BATCH"),
      scheduler: { policy: "SCHED_BATCH", nice: -3 },
      seen: /^policy=3 nice=-3 priority=0 flags=0 /,
    },
    {
      row: proves("sched-policy", "SCHED_IDLE"),
      scheduler: { policy: "SCHED_IDLE" },
      seen: /^policy=5 nice=0 priority=0 flags=0 /,
    },
    {
      row: proves("sched-policy", "SCHED_FIFO"),
      scheduler: { policy: "SCHED_FIFO", priority: 11 },
      seen: /^policy=1 nice=0 priority=11 flags=0 /,
      realtime: true,
    },
    {
      row: proves("sched-policy", "SCHED_RR"),
      scheduler: { policy: "SCHED_RR", priority: 3 },
      seen: /^policy=2 nice=0 priority=3 flags=0 /,
      realtime: true,
    },
    {
      row: proves("sched-policy", "SCHED_DEADLINE"),
      scheduler: { ...deadline, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
      seen: /^policy=6 nice=0 priority=0 flags=1 runtime=5000000 deadline=40000000 period=50000000$/,
    },
    {
      row: proves("sched-flag", "SCHED_FLAG_RESET_ON_FORK"),
      scheduler: { policy: "SCHED_BATCH", flags: ["SCHED_FLAG_RESET_ON_FORK"] },
      seen: /^policy=3 nice=0 priority=0 flags=1 /,
    },
    {
      row: proves("sched-flag", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"),
      scheduler: { ...deadline, flags: ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"] },
      seen: /^policy=6 nice=0 priority=0 flags=6 /,
    },
    {
      row: proves("sched-flag", "SCHED_FLAG_KEEP_POLICY"),
      scheduler: { policy: "SCHED_BATCH", nice: 4, flags: ["SCHED_FLAG_KEEP_POLICY"] },
      seen: /^policy=0 nice=4 /,
    },
    {
      row: proves("sched-flag", "SCHED_FLAG_KEEP_PARAMS"),
      scheduler: { policy: "SCHED_BATCH", nice: 4, flags: ["SCHED_FLAG_KEEP_PARAMS"] },
      seen: /^policy=\d nice=0 /,
    },
  ];
  for (const { row, scheduler, seen, realtime } of CASES) {
    test(`the kernel says what was asked for ${row}`, async () => {
      if (realtime) await realtimeShare();
      await using container = await started(oci, (spec) => {
        set({ scheduler })(spec);
        if (realtime) spec.linux!.resources!.cpu = { realtimeRuntime: 1000 };
      });
      assert.match(await outside("sched", `${container.pid}`), seen);
    });
  }

  test(`all fields arrive, in an exec as well ${proves("config", "process.scheduler", "process.scheduler.policy", "process.scheduler.nice", "process.scheduler.priority", "process.scheduler.flags[]", "process.scheduler.runtime", "process.scheduler.deadline", "process.scheduler.period")}`, async () => {
    const scheduler = { policy: "SCHED_BATCH", nice: 6 };
    await using container = await started(oci, set({ scheduler }));
    assert.match(await oci.ok("exec", container.id, "sched"), /^policy=3 nice=6 /);
  });

  test(`a clamp of utilisation works where the kernel has it and is refused elsewhere ${proves("sched-flag", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX")}`, async () => {
    const has = existsSync("/proc/sys/kernel/sched_util_clamp_min");
    for (const flag of ["SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"]) {
      const change = set({ scheduler: { policy: "SCHED_OTHER", flags: [flag] } });
      if (has) assert.match(await printed(oci, ["sched"], change), /^policy=0 /);
      else assert.match(await refusal(oci, change), /sched_setattr: .*not supported/i);
    }
  });

  test(`what the kernel would not do is refused ${proves("sched-policy", "SCHED_ISO")}`, async () => {
    const cases: [Scheduler, RegExp][] = [
      [{ policy: "SCHED_ISO" }, /Linux has no SCHED_ISO/],
      [{ policy: "SCHED_LEVITATE" }, /invalid scheduler policy/],
      [{ policy: "SCHED_OTHER", flags: ["SCHED_FLAG_X"] }, /invalid scheduler flag/],
      [{ policy: "SCHED_OTHER", nice: 20 }, /invalid scheduler: nice 20/],
      [{ policy: "SCHED_OTHER", priority: 1 }, /SCHED_OTHER has no priority/],
      [{ policy: "SCHED_FIFO", priority: 1, nice: 1 }, /SCHED_FIFO has no nice/],
      [{ policy: "SCHED_BATCH", runtime: 1 }, /SCHED_BATCH has no runtime/],
      [{ policy: "SCHED_FIFO", priority: 100 }, /sched_setattr: invalid argument/i],
      [{ ...deadline, deadline: 1 }, /sched_setattr: invalid argument/i],
    ];
    for (const [scheduler, message] of cases) {
      assert.match(await refusal(oci, set({ scheduler })), message);
    }
  });
});

/** Kernels with realtime groups give a cgroup's processes no realtime until all above have a share.
 * The folder goes with the fixture. */
async function realtimeShare(): Promise<void> {
  const cpu = oci.runtime.kernel.cgroup.v1.get("cpu");
  if (cpu === undefined || !existsSync(`${cpu}/cpu.rt_runtime_us`)) return;
  const parent = `${cpu}/gantry-test-${process.pid}`;
  await mkdir(parent, { recursive: true });
  await writeFile(`${parent}/cpu.rt_runtime_us`, "5000");
}

suite("the priority of input and output", () => {
  const CASES: [row: string, io: NonNullable<OciProcess["ioPriority"]>, seen: string][] = [
    [
      proves("ioprio-class", "IOPRIO_CLASS_RT"),
      { class: "IOPRIO_CLASS_RT", priority: 2 },
      "class=1 level=2",
    ],
    [
      proves("ioprio-class", "IOPRIO_CLASS_BE"),
      { class: "IOPRIO_CLASS_BE", priority: 7 },
      "class=2 level=7",
    ],
    [
      proves("ioprio-class", "IOPRIO_CLASS_IDLE"),
      { class: "IOPRIO_CLASS_IDLE", priority: 0 },
      "class=3 level=0",
    ],
  ];
  for (const [row, ioPriority, seen] of CASES) {
    test(`it is what was asked for ${row} ${proves("config", "process.ioPriority", "process.ioPriority.class", "process.ioPriority.priority")}`, async () => {
      await using container = await started(oci, set({ ioPriority }));
      assert.equal(await outside("ioprio", `${container.pid}`), seen);
      assert.equal((await oci.ok("exec", container.id, "ioprio")).trimEnd(), seen);
    });
  }

  test("a class or level that does not exist is refused", async () => {
    const of = (name: string, priority: number) => set({ ioPriority: { class: name, priority } });
    assert.match(await refusal(oci, of("IOPRIO_CLASS_X", 1)), /invalid ioPriority.Class/);
    assert.match(await refusal(oci, of("IOPRIO_CLASS_BE", 8)), /invalid ioPriority.Priority: 8/);
  });
});

suite("the CPUs of an exec", () => {
  const cpus = () => oci.runtime.kernel.cpus ?? "0";

  test(`it runs on the CPUs of its configuration, init is not touched ${proves("config", "process.execCPUAffinity", "process.execCPUAffinity.initial", "process.execCPUAffinity.final")}`, async (t) => {
    if (!/^0-[1-9]/.test(cpus())) return t.skip("needs two processors");
    const seenBy = async (execCPUAffinity: NonNullable<OciProcess["execCPUAffinity"]>) => {
      await using container = await started(oci, set({ execCPUAffinity }));
      assert.equal(await statusLine(container.pid, "Cpus_allowed_list"), cpus());
      return (await oci.ok("exec", container.id, "status", "Cpus_allowed_list")).trimEnd();
    };
    assert.match(await seenBy({ initial: "0" }), /\s0$/);
    assert.match(await seenBy({ final: "1" }), /\s1$/);
    assert.match(await seenBy({ initial: "0", final: "0-1" }), /\s0-1$/);
    assert.match(await seenBy({ initial: "1", final: "0" }), /\s0$/);
  });

  test("a list that is none, or has no processor of this machine, is refused", async () => {
    for (const [list, message] of [
      ["0,x", /invalid cpu list/],
      ["3-1", /invalid cpu list/],
      ["8000", /invalid argument/i],
    ] as const) {
      await using container = await started(oci, set({ execCPUAffinity: { final: list } }));
      assert.match((await oci.call("exec", container.id, "true")).stderr, message);
    }
  });
});

suite("the personality", () => {
  const CASES: [row: string, domain: string, inside: RegExp, seen: string][] = [
    [proves("personality", "LINUX"), "LINUX", /personality=0 machine=\w+64/, "00000000"],
    [
      proves("personality", "LINUX32"),
      "LINUX32",
      /personality=8 machine=(i686|armv\dl)/,
      "00000008",
    ],
  ];
  for (const [row, domain, inside, seen] of CASES) {
    test(`programs see the machine of their domain ${row} ${proves("config", "linux.personality", "linux.personality.domain")}`, async () => {
      const change = setLinux({ personality: { domain } });
      await using container = await started(oci, change);
      assert.equal(await procText(container.pid, "personality"), seen);
      assert.match(await oci.ok("exec", container.id, "personality"), inside);
      assert.match(await printed(oci, ["personality"], change), inside);
    });
  }

  test(`no flag is defined, and no other domain ${proves("config", "linux.personality.flags[]")}`, async () => {
    const of = (domain: string, flags: string[] = []) =>
      setLinux({ personality: { domain, flags } });
    assert.match(await refusal(oci, of("LINUX", ["ADDR_NO_RANDOMIZE"])), /invalid personality/);
    assert.match(await refusal(oci, of("SVR4")), /invalid personality/);
    assert.match(await printed(oci, ["personality"], of("LINUX32", [])), /personality=8/);
  });
});

suite("the memory policy", { skip: noMemoryPolicy() }, () => {
  type Policy = NonNullable<OciLinux["memoryPolicy"]>;
  const mode = (name: string) => ({ mode: name, nodes: "0" });
  const CASES: [row: string, policy: Policy, inside: string, maps: RegExp][] = [
    [
      proves("mempolicy-mode", "MPOL_DEFAULT"),
      { mode: "MPOL_DEFAULT" },
      "mode=0 flags=0 nodes=0",
      / default /,
    ],
    [
      proves("mempolicy-mode", "MPOL_BIND"),
      mode("MPOL_BIND"),
      "mode=2 flags=0 nodes=1",
      / bind:0 /,
    ],
    [
      proves("mempolicy-mode", "MPOL_INTERLEAVE"),
      mode("MPOL_INTERLEAVE"),
      "mode=3 flags=0 nodes=1",
      / interleave:0 /,
    ],
    [
      proves("mempolicy-mode", "MPOL_WEIGHTED_INTERLEAVE"),
      mode("MPOL_WEIGHTED_INTERLEAVE"),
      "mode=6 flags=0 nodes=1",
      / weighted interleave:0 /,
    ],
    [
      proves("mempolicy-mode", "MPOL_PREFERRED"),
      mode("MPOL_PREFERRED"),
      "mode=1 flags=0 nodes=1",
      / prefer:0 /,
    ],
    [
      proves("mempolicy-mode", "MPOL_PREFERRED_MANY"),
      mode("MPOL_PREFERRED_MANY"),
      "mode=5 flags=0 nodes=1",
      / prefer \(many\):0 /,
    ],
    [
      proves("mempolicy-mode", "MPOL_LOCAL"),
      { mode: "MPOL_LOCAL" },
      "mode=4 flags=0 nodes=0",
      / local /,
    ],
    [
      proves("mempolicy-flag", "MPOL_F_STATIC_NODES"),
      { ...mode("MPOL_BIND"), flags: ["MPOL_F_STATIC_NODES"] },
      "mode=2 flags=8000 nodes=1",
      / bind=static:0 /,
    ],
    [
      proves("mempolicy-flag", "MPOL_F_RELATIVE_NODES"),
      { ...mode("MPOL_INTERLEAVE"), flags: ["MPOL_F_RELATIVE_NODES"] },
      "mode=3 flags=4000 nodes=1",
      / interleave=relative:0 /,
    ],
    [
      proves("mempolicy-flag", "MPOL_F_NUMA_BALANCING"),
      { ...mode("MPOL_BIND"), flags: ["MPOL_F_NUMA_BALANCING"] },
      "mode=2 flags=2000 nodes=1",
      / bind(=balancing)?:0 /,
    ],
  ];
  for (const [row, memoryPolicy, inside, maps] of CASES) {
    test(`memory is taken as asked, by an exec as well ${row} ${proves("config", "linux.memoryPolicy", "linux.memoryPolicy.mode", "linux.memoryPolicy.nodes", "linux.memoryPolicy.flags[]")}`, async (t) => {
      const change = setLinux({ memoryPolicy });
      if (memoryPolicy.mode === "MPOL_WEIGHTED_INTERLEAVE" && !(await weightedInterleave())) {
        assert.match(await refusal(oci, change), /memoryPolicy.*invalid argument/i);
        return t.diagnostic("this kernel does not have it");
      }
      await using container = await started(oci, change);
      assert.match(await procText(container.pid, "numa_maps"), maps);
      assert.equal((await oci.ok("exec", container.id, "mempolicy")).trimEnd(), inside);
    });
  }

  test("what the kernel does not have is refused", async () => {
    const cases: [Policy, RegExp][] = [
      [{ mode: "MPOL_X" }, /invalid memory policy mode/],
      [{ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_X"] }, /invalid memory policy flag/],
      [{ mode: "MPOL_BIND", nodes: "zero" }, /invalid memory node list/],
      [{ mode: "MPOL_BIND", nodes: "2000" }, /invalid memory node list/],
      [{ mode: "MPOL_BIND", nodes: "900" }, /invalid argument/i],
      [{ mode: "MPOL_BIND" }, /invalid argument/i],
      [{ mode: "MPOL_DEFAULT", nodes: "0" }, /invalid argument/i],
    ];
    for (const [memoryPolicy, message] of cases) {
      assert.match(await refusal(oci, setLinux({ memoryPolicy })), message);
    }
  });
});

function noMemoryPolicy(): string | false {
  return existsSync("/proc/self/numa_maps") ? false : "the kernel has no memory policies (NUMA)";
}

/** Linux 6.9 has it. */
async function weightedInterleave(): Promise<boolean> {
  const [major, minor] = oci.runtime.kernel.release.split(".").map(Number);
  return major! > 6 || (major === 6 && minor! >= 9);
}
