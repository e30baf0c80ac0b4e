// What the probe says of the kernel that is booted, against what is known of that version, and
// that the kernel agrees: each feature is used, or its absence leads to the fallback or the reason
// that is promised. Runs on every kernel.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { kernelAtLeast, probeKernel } from "../../../src/runtime/index.ts";
import { RuntimeFixture } from "../../support/runtime-fixture.ts";

const since = (version: string) => kernelAtLeast(release(), version);
const CONTROLLERS = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"];

if (!since("5.12")) {
  test("a kernel without mount_setattr is refused, with both versions in the reason", async () => {
    await assert.rejects(probeKernel(), {
      message: `Gantry needs Linux 5.12 or newer (mount_setattr): this is ${release()}`,
    });
  });
} else {
  describe("a kernel that is supported", () => {
    let runtime: RuntimeFixture;
    before(async () => {
      runtime = await RuntimeFixture.make();
    });
    after(() => runtime[Symbol.asyncDispose]());

    test("is told by its version and its cgroups", () => {
      const { kernel } = runtime;
      assert.equal(kernel.release, release());
      assert.equal(kernel.cgroup.version, 2);
      assert.equal(kernel.cgroup.v1.size, 0);
      const { controllers = [], path } = kernel.cgroup.v2 ?? {};
      assert.equal(path, "/sys/fs/cgroup");
      for (const name of CONTROLLERS) assert.ok(controllers.includes(name), name);
      assert.deepEqual(
        kernel.warnings.filter((line) => !line.includes("AppArmor")),
        [],
      );
    });

    test("has the features of its version", () => {
      const { kernel } = runtime;
      assert.equal(kernel.overlayLowerdirAppend, since("6.5"));
      assert.equal(kernel.idmappedOverlay, since("5.19"));
      assert.equal(kernel.timeNamespace, true);
      assert.ok(kernel.seccompActions.includes("user_notif"));
      assert.equal(kernel.lastCapability, 40);
    });

    test("puts layers together, the many of them one by one or in one option", async () => {
      const base = runtime.native.path("layers");
      const lower = await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          const folder = join(base, `layer-${i}`);
          await mkdir(join(folder, `from-${i}`), { recursive: true });
          return folder;
        }),
      );
      for (const name of ["upper", "work"]) await mkdir(join(base, name));
      const rootfs = (folder: string) => ({
        kind: "overlay" as const,
        lowerDirs: [...lower, folder],
        upperDir: join(base, "upper"),
        workDir: join(base, "work"),
      });
      const seen = await runtime.see(["ls /"], { rootfs });
      for (const name of ["bin", "from-0", "from-39"])
        assert.match(seen, new RegExp(`^${name}$`, "m"));
    });

    test("kills a whole cgroup, by cgroup.kill where there is one", async () => {
      const { planned, monitor } = await runtime.start(["sleep", "1000"]);
      monitor.release();
      const path = planned.cgroupPaths[""]!;
      assert.equal(existsSync(join(path, "cgroup.kill")), since("5.14"));
      await runtime.native.spawner.run({ host: [{ op: "killCgroup", path }] });
      assert.equal((await monitor.exited).code, 137);
    });

    test("gives burst and idle by their files, and names the file that it lacks", async () => {
      const started = runtime.start(["sleep", "1000"], {
        change: ({ linux }) => {
          linux!.resources = { ...linux!.resources, cpu: { quota: 50_000, burst: 10_000 } };
        },
      });
      if (!since("5.14")) return await assert.rejects(started, /cpu\.max\.burst/);
      const { planned, monitor } = await started;
      monitor.release();
      const burst = await readFile(join(planned.cgroupPaths[""]!, "cpu.max.burst"), "utf8");
      assert.equal(burst.trim(), "10000");
    });
  });
}
