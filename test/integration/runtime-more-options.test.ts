// Devices, init, sysctls, custom filters and propagation, seen on the real kernel.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { after, test } from "node:test";
import type { MountRecord } from "../../src/engine/containers/record.ts";
import { initProgramPath } from "../../src/native/index.ts";
import { hostFolder, RuntimeFixture } from "../support/runtime-fixture.ts";

const runtime = await RuntimeFixture.make();
after(() => runtime[Symbol.asyncDispose]());

test("a device is made and may be used with the permissions that were given", async () => {
  const device = { PathOnHost: "/dev/zero", PathInContainer: "/dev/my/zero" };
  const text = await runtime.see(["stat /dev/my/zero"], {
    host: { Devices: [{ ...device, CgroupPermissions: "rwm" }] },
  });
  assert.match(text, /\/dev\/my\/zero mode=20666 uid=0 gid=0 size=0 rdev=1:5/);
  const rule = await runtime.run(["mknod", "/tmp/fuse", "10", "229"], {
    host: { DeviceCgroupRules: ["c 10:229 rwm"] },
  });
  assert.equal(rule.exit.code, 0, rule.stderr);
});

test("with --init orphans are reaped and signals reach the command", async () => {
  const options = {
    host: { Init: true },
    change: (spec: { mounts?: unknown[]; process?: { args?: string[] } }) => {
      spec.mounts!.push({
        destination: "/sbin/docker-init",
        type: "bind",
        source: initProgramPath,
        options: ["bind", "ro", "rprivate"],
      });
      spec.process!.args = ["/sbin/docker-init", "--", ...spec.process!.args!];
    },
  };
  const text = (await runtime.run(["zombies", "3", "200"], options)).stdout;
  assert.doesNotMatch(text, / Z /);
  const container = await runtime.start(["sleep", "60"], options);
  container.monitor.release();
  await container.monitor.kill("", 15);
  // 143 when it comes before the command has its handler.
  assert.match(String((await container.monitor.exited).code), /^(0|143)$/);
});

test("a sysctl of an own namespace is set, one of the host is refused", async () => {
  const text = await runtime.see(
    ["cat /proc/sys/net/core/somaxconn", "cat /proc/sys/kernel/msgmax"],
    {
      host: { Sysctls: { "net.core.somaxconn": "77", "kernel.msgmax": "4096" } },
    },
  );
  assert.equal(text, "77\n4096\n");
  assert.throws(
    () => runtime.plan("x", ["true"], { host: { Sysctls: { "vm.swappiness": "1" } } }),
    /sysctl "vm.swappiness" is not in a separate kernel namespace/,
  );
});

test("a filter of one's own replaces the default", async () => {
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
  };
  const host = { SecurityOpt: [`seccomp=${JSON.stringify(profile)}`] };
  const { stderr } = await runtime.run(["mkdir", "/tmp/x"], { host });
  assert.match(stderr, /No space left on device/);
});

test("a shared bind lets mounts through, a private one does not", async () => {
  const folder = await hostFolder(runtime, "shared");
  await mkdir(`${folder}/in`, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", folder]);
  try {
    execFileSync("mount", ["--make-shared", folder]);
    await mkdir(`${folder}/in`);
    const mounts = ["rslave", "rprivate"].map(
      (propagation): MountRecord => ({
        Type: "bind",
        Source: folder,
        Destination: `/mnt/${propagation}`,
        Mode: "",
        RW: true,
        Propagation: propagation,
      }),
    );
    const container = await runtime.start(["sleep", "60"], { mounts });
    container.monitor.release();
    execFileSync("mount", ["-t", "tmpfs", "later", `${folder}/in`]);
    writeFileSync(`${folder}/in/file`, "seen\n");
    const slave = await runtime.exec(container, ["cat", "/mnt/rslave/in/file"]);
    assert.equal(slave.stdout, "seen\n", slave.stderr);
    const own = await runtime.exec(container, ["cat", "/mnt/rprivate/in/file"]);
    assert.match(own.stderr, /No such file/);
    await container.monitor.kill("", 9);
    await container.monitor.exited;
  } finally {
    execFileSync("umount", ["-R", "-l", folder]);
  }
});

test("a read-only bind is read-only with everything that is mounted below it", async () => {
  const folder = await hostFolder(runtime, "deep");
  await mkdir(`${folder}/in`, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", `${folder}/in`]);
  try {
    const mount: MountRecord = {
      Type: "bind",
      Source: folder,
      Destination: "/mnt",
      Mode: "",
      RW: false,
      Propagation: "rprivate",
    };
    const { stderr } = await runtime.run(["write", "/mnt/in/x", "no"], { mounts: [mount] });
    assert.match(stderr, /Read-only file system/);
    const request = { Type: "bind", Target: "/mnt", BindOptions: { ReadOnlyNonRecursive: true } };
    const shallow = { ...mount, request: request as NonNullable<MountRecord["request"]> };
    const written = await runtime.run(["write", "/mnt/in/x", "yes"], { mounts: [shallow] });
    assert.equal(written.exit.code, 0, written.stderr);
  } finally {
    execFileSync("umount", [`${folder}/in`]);
  }
});

test("the layers of an image are united, and only the container's own is written", async () => {
  const [upper, work, extra] = await Promise.all(
    ["upper", "work", "layer,with:odd name"].map((name) => hostFolder(runtime, name)),
  );
  writeFileSync(`${extra}/greeting`, "from above\n");
  const rootfs = (folder: string) => ({
    kind: "overlay" as const,
    lowerDirs: [extra!, folder],
    upperDir: upper!,
    workDir: work!,
  });
  const text = await runtime.see(["cat /greeting", "write /greeting mine", "cat /greeting"], {
    rootfs,
  });
  assert.match(text, /^from above\nmine/);
  assert.equal(readFileSync(`${extra}/greeting`, "utf8"), "from above\n");
  assert.match(readFileSync(`${upper}/greeting`, "utf8"), /^mine/);
});

test("a hundred and more layers are mounted, also by kernels that take no list", async () => {
  const folders = await Promise.all(
    Array.from({ length: 130 }, (_, i) => hostFolder(runtime, `layers/${i}-with-a-name`)),
  );
  const [upper, work] = await Promise.all(["u2", "w2"].map((name) => hostFolder(runtime, name)));
  writeFileSync(`${folders[129]}/deepest`, "found\n");
  const rootfs = (folder: string) => ({
    kind: "overlay" as const,
    lowerDirs: [...folders, folder],
    upperDir: upper!,
    workDir: work!,
  });
  assert.equal(await runtime.see(["cat /deepest"], { rootfs }), "found\n");
  const old = { ...runtime.kernel, overlayLowerdirAppend: false };
  assert.equal(await runtime.see(["cat /deepest"], { rootfs, kernel: old }), "found\n");
});

test("a time namespace shifts the clocks", async () => {
  const text = await runtime.see(["cat /proc/uptime"], {
    change: (spec) => {
      spec.linux!.namespaces!.push({ type: "time" });
      spec.linux!.timeOffsets = { boottime: { secs: 10_000_000 } };
    },
  });
  assert.ok(Number(text.split(" ")[0]) > 10_000_000, text);
});
