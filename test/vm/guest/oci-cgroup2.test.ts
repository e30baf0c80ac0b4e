// gantry-runtime on cgroup v2: what a bundle can ask for and Docker's API cannot. Files of the
// cgroups are read from outside; limits are seen to act where they can.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { OciDeviceRule, OciResources, OciSpec } from "../../../src/spec/index.ts";
import { until } from "../../support/deadline.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { CGROUPS, isGone, MIB } from "../containers.ts";
import { hasApparmor } from "../suites/apparmor.ts";
import { hasSelinux } from "../suites/selinux.ts";

const HUGE_PAGES = "/proc/sys/vm/nr_hugepages";

describe("gantry-runtime on cgroup v2", () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  const limited = (resources: OciResources) => (spec: OciSpec) => {
    spec.linux!.resources = { ...spec.linux!.resources, ...resources };
  };
  async function started(command: string[], change: (spec: OciSpec) => void) {
    const { id, bundle } = await oci.bundle(command, change);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const own = /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, "utf8"))![1]!;
    const folder = CGROUPS + own;
    const read = async (file: string) => (await readFile(join(folder, file), "utf8")).trim();
    return { id, pid, folder, read };
  }
  const end = (id: string) => oci.ok("delete", "-f", id);

  test("unified files are written as they stand; memory.high presses and does not kill", async () => {
    const unified = { "memory.high": String(8 * MIB), "memory.oom.group": "1", "cpu.weight": "42" };
    const { id, read } = await started(["seq", "eat 12", "sleep 1000"], limited({ unified }));
    assert.equal(await read("memory.high"), String(8 * MIB));
    assert.equal(await read("memory.oom.group"), "1");
    assert.equal(await read("cpu.weight"), "42");
    await until("pressure", async () => /^high [1-9]/m.test(await read("memory.events")));
    assert.match(await read("memory.events"), /^oom_kill 0$/m);
    await end(id);
  });

  test("a unified file that the kernel lacks is named, and nothing is left", async () => {
    for (const [file, why] of [
      ["memory.nonsense", /memory\.nonsense/],
      ["nonsense.max", /the host has no nonsense cgroup controller/],
      ["../escape", /invalid unified resource/],
    ] as const) {
      const { id, bundle } = await oci.bundle(["true"], limited({ unified: { [file]: "1" } }));
      const { code, stderr } = await oci.call("run", "-b", bundle, id);
      assert.notEqual(code, 0, file);
      assert.match(stderr, why);
      assert.equal((await oci.call("state", id)).code, 1);
    }
  });

  test("huge pages are limited, for what is used and what is reserved", async () => {
    await writeFile(HUGE_PAGES, "8");
    const limit = 4 * MIB;
    const { id, read } = await started(
      ["sleep", "1000"],
      limited({ hugepageLimits: [{ pageSize: "2MB", limit }] }),
    );
    assert.equal(await read("hugetlb.2MB.max"), String(limit));
    assert.equal(await read("hugetlb.2MB.rsvd.max"), String(limit));
    await end(id);
    await writeFile(HUGE_PAGES, "0");
  });

  test("burst and idle of the cpu", async () => {
    const cpu = { quota: 50_000, period: 100_000, burst: 20_000 };
    const bursting = await started(["sleep", "1000"], limited({ cpu }));
    assert.equal(await bursting.read("cpu.max"), "50000 100000");
    assert.equal(await bursting.read("cpu.max.burst"), "20000");
    await oci.ok("update", "--cpu-quota", "10000", "--cpu-burst", "5000", bursting.id);
    assert.equal(await bursting.read("cpu.max.burst"), "5000");
    await end(bursting.id);
    const idle = await started(["sleep", "1000"], limited({ cpu: { idle: 1 } }));
    assert.equal(await idle.read("cpu.idle"), "1");
    await end(idle.id);
  });

  test("an exec goes into a cgroup of the container's that is named, and no further", async () => {
    const { id, folder, read } = await started(["seq", "sleep 1000"], ({ linux, mounts }) => {
      linux!.namespaces!.push({ type: "cgroup" });
      const mount = mounts!.find(({ type }) => type === "cgroup")!;
      mount.options = mount.options!.map((option) => (option === "ro" ? "rw" : option));
    });
    await oci.ok("exec", id, "mkdir", "/sys/fs/cgroup/job");
    await oci.detached("exec", "-d", "--cgroup", "job", id, "sleep", "1000");
    assert.equal((await read("job/cgroup.procs")).split("\n").length, 1);
    const outside = await oci.call("exec", "--cgroup", "../..", id, "true");
    assert.notEqual(outside.code, 0);
    await end(id);
    await isGone(folder);
  });

  test("pause freezes and resume thaws; what is paused can be deleted", async () => {
    const { id, folder, read } = await started(["sleep", "1000"], () => {});
    await oci.ok("pause", id);
    assert.match(await read("cgroup.events"), /^frozen 1$/m);
    assert.equal((await oci.state(id)).status, "paused");
    await oci.ok("resume", id);
    assert.match(await read("cgroup.events"), /^frozen 0$/m);
    await oci.ok("pause", id);
    await end(id);
    await isGone(folder);
  });

  test("device rules hold in their order, and what cannot be meant is refused", async () => {
    const give = { allow: true, type: "c", major: 1, minor: 1, access: "rwm" };
    let count = 0;
    const open = async (...rules: OciDeviceRule[]) => {
      const node = `/tmp/memory-${++count}`;
      const { id, bundle } = await oci.bundle(["mknod", node, "1", "1"], (spec) => {
        limited({ devices: [{ allow: false, access: "rwm" }, ...rules] })(spec);
        for (const set of Object.values(spec.process!.capabilities ?? {}))
          set.push("CAP_SYS_RAWIO");
      });
      return await oci.call("run", "-b", bundle, id);
    };
    assert.equal((await open(give)).code, 0);
    const taken = await open(give, { ...give, allow: false, access: "w" });
    assert.match(taken.stderr, /open: Operation not permitted/);
    const { minor: _, ...all } = give;
    const hole = await open(all, { ...give, allow: false });
    assert.match(hole.stderr, /invalid device rule .*takes a part/);
  });

  test("labels of security modules are entered where there is one, refused elsewhere", async () => {
    const { id, bundle } = await oci.bundle(["true"], ({ process }) => {
      process!.apparmorProfile = "no-such-profile";
    });
    const { code, stderr } = await oci.call("run", "-b", bundle, id);
    assert.notEqual(code, 0);
    assert.match(
      stderr,
      (await hasApparmor())
        ? /no-such-profile|attr\/apparmor\/exec/
        : /apparmor is not enabled on this host/,
    );
    const labelled = await oci.bundle(["true"], ({ process }) => {
      process!.selinuxLabel = "system_u:system_r:container_t:s0";
    });
    const result = await oci.call("run", "-b", labelled.bundle, labelled.id);
    assert.notEqual(result.code, 0);
    assert.match(
      result.stderr,
      (await hasSelinux())
        ? /attr\/exec.*[Ii]nvalid argument/
        : /selinux is not enabled on this host/,
    );
  });
});
