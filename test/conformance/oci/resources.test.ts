// linux.resources: what is asked for is what stands in the container's cgroup files, on hosts of
// version 1 and 2 and hybrid ones; what a host cannot give is refused.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { OciResources, OciSpec } from "../../../src/spec/index.ts";
import { limitFolder } from "../../support/oci-cgroups.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { printed, refusal, started } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

const MB = 1 << 20;
let oci: OciFixture;
let isV1: boolean;
before(async () => {
  oci = await OciFixture.make();
  isV1 = oci.runtime.kernel.cgroup.v1.size > 0;
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const set = (resources: OciResources) => (spec: OciSpec) => {
  spec.linux!.resources = { ...spec.linux!.resources, ...resources };
};

type Seen = [file: string, content: string | RegExp];
interface Case {
  row: string;
  controller: string;
  resources: OciResources;
  /** Absent: version 1 or 2 has no such limit. */
  v1?: Seen[];
  v2?: Seen[];
}

async function check({ controller, resources, v1, v2 }: Case): Promise<void> {
  const { cgroup } = oci.runtime.kernel;
  const hasV1 = cgroup.v1.has(controller);
  const seen = hasV1 ? v1 : v2;
  if (!hasV1 && !cgroup.v2?.controllers.includes(controller)) {
    assert.match(await refusal(oci, set(resources)), new RegExp(`no ${controller} cgroup contr`));
  } else if (seen === undefined) {
    assert.match(await refusal(oci, set(resources)), /is for cgroup v1, this host has v2/);
  } else {
    await using container = await started(oci, set(resources));
    const { folder } = (await limitFolder(container.pid, cgroup, controller))!;
    for (const [file, content] of seen) {
      const found = (await readFile(join(folder, file), "utf8")).trimEnd();
      if (typeof content === "string") assert.equal(found, content, file);
      else assert.match(found, content, file);
    }
  }
}

suite("memory", () => {
  const limit = 64 * MB;
  const CASES: Case[] = [
    {
      row: proves("config", "linux.resources.memory", "linux.resources.memory.limit"),
      controller: "memory",
      resources: { memory: { limit } },
      v1: [["memory.limit_in_bytes", `${limit}`]],
      v2: [["memory.max", `${limit}`]],
    },
    {
      row: proves("config", "linux.resources.memory.reservation"),
      controller: "memory",
      resources: { memory: { limit, reservation: 32 * MB } },
      v1: [["memory.soft_limit_in_bytes", `${32 * MB}`]],
      v2: [["memory.low", `${32 * MB}`]],
    },
    {
      row: proves("config", "linux.resources.memory.swap"),
      controller: "memory",
      resources: { memory: { limit, swap: 100 * MB } },
      v1: [["memory.memsw.limit_in_bytes", `${100 * MB}`]],
      v2: [["memory.swap.max", `${36 * MB}`]],
    },
    {
      row: proves("config", "linux.resources.memory.kernelTCP"),
      controller: "memory",
      resources: { memory: { kernelTCP: 16 * MB } },
      v1: [["memory.kmem.tcp.limit_in_bytes", `${16 * MB}`]],
    },
    {
      row: proves("config", "linux.resources.memory.swappiness"),
      controller: "memory",
      resources: { memory: { swappiness: 31 } },
      v1: [["memory.swappiness", "31"]],
    },
    {
      row: proves("config", "linux.resources.memory.disableOOMKiller"),
      controller: "memory",
      resources: { memory: { limit, disableOOMKiller: true } },
      v1: [["memory.oom_control", /^oom_kill_disable 1$/m]],
    },
  ];
  for (const one of CASES) test(`its limit is in force ${one.row}`, () => check(one));

  test(`accounting beneath a cgroup cannot be switched off ${proves("config", "linux.resources.memory.useHierarchy")}`, async () => {
    const on = set({ memory: { useHierarchy: true } });
    assert.equal(await printed(oci, ["echo", "there"], on), "there");
    const off = set({ memory: { useHierarchy: false } });
    assert.match(await refusal(oci, off), /memory.use_hierarchy: invalid|useHierarchy is for/i);
  });

  test(`a limit of kernel memory is told to be none ${proves("config", "linux.resources.memory.kernel")}`, async () => {
    const { id, bundle } = await oci.bundle(["true"], set({ memory: { kernel: MB } }));
    const { code, stderr } = await oci.call("run", "-b", bundle, id);
    assert.equal(code, 0);
    assert.match(stderr, /level=warning msg="linux.resources.memory.kernel is ignored/);
  });

  test(`no limit beneath what is in use where that is checked ${proves("config", "linux.resources.memory.checkBeforeUpdate")}`, async () => {
    await using container = await started(oci, set({ memory: { limit } }));
    const file = oci.path("resources.json");
    const update = async (memory: OciResources["memory"]) => {
      await writeFile(file, JSON.stringify({ memory }));
      return await oci.call("update", "-r", file, container.id);
    };
    const refused = await update({ limit: 8192, checkBeforeUpdate: true });
    assert.match(refused.stderr, /memory in use: \d+ is more than 8192/);
    const { cgroup } = oci.runtime.kernel;
    const { version, folder } = (await limitFolder(container.pid, cgroup, "memory"))!;
    const path = join(folder, version === 1 ? "memory.limit_in_bytes" : "memory.max");
    assert.equal(await readFile(path, "utf8"), `${limit}\n`);
    assert.equal((await update({ limit: 80 * MB, checkBeforeUpdate: true })).code, 0);
    assert.equal(await readFile(path, "utf8"), `${80 * MB}\n`);
  });
});

suite("processors", () => {
  const CASES: Case[] = [
    {
      row: proves("config", "linux.resources.cpu", "linux.resources.cpu.shares"),
      controller: "cpu",
      resources: { cpu: { shares: 512 } },
      v1: [["cpu.shares", "512"]],
      v2: [["cpu.weight", "59"]],
    },
    {
      row: proves(
        "config",
        "linux.resources.cpu.quota",
        "linux.resources.cpu.period",
        "linux.resources.cpu.burst",
      ),
      controller: "cpu",
      resources: { cpu: { quota: 30_000, period: 50_000, burst: 20_000 } },
      v1: [
        ["cpu.cfs_quota_us", "30000"],
        ["cpu.cfs_period_us", "50000"],
        ["cpu.cfs_burst_us", "20000"],
      ],
      v2: [
        ["cpu.max", "30000 50000"],
        ["cpu.max.burst", "20000"],
      ],
    },
    {
      row: proves("config", "linux.resources.cpu.idle"),
      controller: "cpu",
      resources: { cpu: { idle: 1, shares: 512 } },
      v1: [["cpu.idle", "1"]],
      v2: [["cpu.idle", "1"]],
    },
    {
      row: proves("config", "linux.resources.cpu.cpus", "linux.resources.cpu.mems"),
      controller: "cpuset",
      resources: { cpu: { cpus: "0", mems: "0" } },
      v1: [
        ["cpuset.cpus", "0"],
        ["cpuset.mems", "0"],
      ],
      v2: [
        ["cpuset.cpus", "0"],
        ["cpuset.mems", "0"],
      ],
    },
  ];
  for (const one of CASES) test(`its limit is in force ${one.row}`, () => check(one));

  test(`realtime needs a share of all cgroups above ${proves("config", "linux.resources.cpu.realtimeRuntime", "linux.resources.cpu.realtimePeriod")}`, async () => {
    const { cgroup } = oci.runtime.kernel;
    const cpu = { realtimeRuntime: 2000, realtimePeriod: 500_000 };
    const mount = cgroup.v1.get("cpu");
    if (mount === undefined || !existsSync(join(mount, "cpu.rt_runtime_us"))) {
      assert.match(await refusal(oci, set({ cpu })), /is for cgroup v1|cpu.rt_\w+_us/);
      return;
    }
    const parent = join(mount, `gantry-test-${process.pid}`);
    await mkdir(parent, { recursive: true });
    await writeFile(join(parent, "cpu.rt_runtime_us"), "0");
    assert.match(await refusal(oci, set({ cpu })), /cpu.rt_runtime_us: invalid argument/i);
    await writeFile(join(parent, "cpu.rt_runtime_us"), "8000");
    const v1: Seen[] = [
      ["cpu.rt_runtime_us", "2000"],
      ["cpu.rt_period_us", "500000"],
    ];
    await check({ row: "", controller: "cpu", resources: { cpu }, v1 });
  });

  test("quota and burst are raised and lowered together", async () => {
    await using container = await started(oci, set({ cpu: { quota: 50_000, burst: 50_000 } }));
    const { id, pid } = container;
    const { version, folder } = (await limitFolder(pid, oci.runtime.kernel.cgroup, "cpu"))!;
    const files =
      version === 1 ? ["cpu.cfs_quota_us", "cpu.cfs_burst_us"] : ["cpu.max", "cpu.max.burst"];
    for (const [quota, burst] of [
      ["20000", "10000"],
      ["90000", "80000"],
    ] as const) {
      await oci.ok("update", "--cpu-quota", quota, "--cpu-burst", burst, id);
      const [seen, extra] = await Promise.all(
        files.map((file) => readFile(join(folder, file), "utf8")),
      );
      assert.match(seen!, new RegExp(`^${quota}\\b`));
      assert.equal(extra!.trim(), burst);
    }
  });
});

test(`the number of processes is limited ${proves("config", "linux.resources", "linux.resources.pids", "linux.resources.pids.limit")}`, async () => {
  const seen: Seen[] = [["pids.max", "17"]];
  await check({
    ...{ row: "", controller: "pids", resources: { pids: { limit: 17 } } },
    ...{ v1: seen, v2: seen },
  });
  const unlimited: Seen[] = [["pids.max", "max"]];
  await check({
    ...{ row: "", controller: "pids", resources: { pids: { limit: -1 } } },
    ...{ v1: unlimited, v2: unlimited },
  });
});

test(`huge pages are limited, used and reserved ${proves("config", "linux.resources.hugepageLimits[]", "linux.resources.hugepageLimits[].pageSize", "linux.resources.hugepageLimits[].limit")}`, async (t) => {
  const sizes: string[] = await readdir("/sys/kernel/mm/hugepages").catch(() => []);
  if (!sizes.includes("hugepages-2048kB")) return t.skip("the kernel has no huge pages of 2 MB");
  const files = (suffix: string): Seen[] => [
    [`hugetlb.2MB.${suffix}`, `${4 * MB}`],
    [`hugetlb.2MB.rsvd.${suffix}`, `${4 * MB}`],
  ];
  await check({
    ...{ row: "", controller: "hugetlb" },
    resources: { hugepageLimits: [{ pageSize: "2MB", limit: 4 * MB }] },
    ...{ v1: files("limit_in_bytes"), v2: files("max") },
  });
  for (const pageSize of ["3MB", "../x", "2M"]) {
    const change = set({ hugepageLimits: [{ pageSize, limit: 0 }] });
    assert.match(await refusal(oci, change), /hugepage size|hugetlb\.3MB|no hugetlb/);
  }
});

test(`remote memory access needs a controller and a device ${proves("config", "linux.resources.rdma", "linux.resources.rdma.*.hcaHandles", "linux.resources.rdma.*.hcaObjects")}`, async () => {
  const of = (device: string, limits: object) => set({ rdma: { [device]: limits } });
  const message = /no rdma cgroup controller|rdma.max: no such device/i;
  assert.match(await refusal(oci, of("none0", { hcaHandles: 3, hcaObjects: 4 })), message);
  assert.match(await refusal(oci, of("none0", {})), /neither hcaHandles nor hcaObjects/);
  assert.match(await refusal(oci, of("a b", { hcaHandles: 1 })), /invalid rdma device name/);
});

test(`files of the unified hierarchy are written as they are ${proves("config", "linux.resources.unified")}`, async (t) => {
  const { v2 } = oci.runtime.kernel.cgroup;
  if (v2 === undefined) {
    const refused = await refusal(oci, set({ unified: { "cgroup.max.depth": "3" } }));
    assert.match(refused, /unified resources are for cgroup v2/);
    return t.diagnostic("no unified hierarchy on this host");
  }
  const unified = { "cgroup.max.depth": "3", "cgroup.max.descendants": "8" };
  await using container = await started(oci, set({ unified }));
  const { folder } = (await limitFolder(container.pid, oci.runtime.kernel.cgroup, "cgroup"))!;
  assert.equal(await readFile(join(folder, "cgroup.max.depth"), "utf8"), "3\n");
  assert.equal(await readFile(join(folder, "cgroup.max.descendants"), "utf8"), "8\n");
  const refused: [Record<string, string>, RegExp][] = [
    [{ "levitation.max": "1" }, /the host has no levitation cgroup controller/],
    [{ "../x.y": "1" }, /invalid unified resource/],
    [{ "cgroup.no-such": "1" }, /invalid unified resource/],
    [{ "cgroup.levitate": "1" }, /cgroup.levitate: no such file/i],
    [{ "cgroup.max.depth": "deep" }, /cgroup.max.depth: invalid argument/i],
  ];
  for (const [wanted, message] of refused) {
    assert.match(await refusal(oci, set({ unified: wanted })), message);
  }
});

test("what version 2 does not have is refused there", async (t) => {
  if (isV1) return t.skip("the host has version 1");
  for (const resources of [
    { network: { classID: 1 } },
    { blockIO: { leafWeight: 100 } },
    { cpu: { realtimeRuntime: 1000 } },
  ] satisfies OciResources[]) {
    assert.match(await refusal(oci, set(resources)), /is for cgroup v1, this host has v2/);
  }
});
