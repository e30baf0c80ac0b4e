// The root of a container and what is over it: read-only roots, propagation, masked and read-only
// paths, labels that need a security module, annotations.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { probeKernel } from "../../../src/runtime/index.ts";
import { MS } from "../../../src/runtime/kernel-numbers.ts";
import type { OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  hostTmpfs,
  hostUmount,
  inside,
  mountsOf,
  onHost,
  refused,
  within,
} from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("gantry-runtime's root file system", { skip }, () => {
  let oci: OciFixture;
  let rootfs: string;
  before(async () => {
    oci = await OciFixture.make();
    rootfs = oci.runtime.native.rootfs;
    await mkdir(join(rootfs, "masked/folder"), { recursive: true });
    await writeFile(join(rootfs, "masked/folder/secret"), "secret");
    await writeFile(join(rootfs, "masked/file"), "secret");
    await symlink("../masked/file", join(rootfs, "masked/link"));
  });
  after(() => oci[Symbol.asyncDispose]());
  const write = (container: { id: string }, path: string) =>
    oci.call("exec", container.id, "write", path, "x");

  test(`the root is the folder of the configuration, which may be named from the bundle ${proves("config", "root", "root.path")}`, async () => {
    const { id, bundle } = await oci.bundle(["cat", "/marked"], (spec) => {
      spec.root = { path: "./rootfs" };
    });
    await onHost(oci, ...hostTmpfs(join(bundle, "rootfs")));
    try {
      const from = await oci.call("run", "-b", bundle, id);
      assert.match(from.stderr, /executable file not found/);
      await onHost(
        oci,
        { op: "open", path: rootfs, flags: 0, to: 1 },
        { op: "open", path: join(bundle, "rootfs"), flags: 0, to: 2 },
        { op: "copyTree", fromRoot: 1, from: "/", toRoot: 2, to: "/" },
      );
      await writeFile(join(bundle, "rootfs/marked"), "from the bundle");
      assert.equal(await oci.ok("run", "-b", bundle, id), "from the bundle");
    } finally {
      await onHost(oci, hostUmount(join(bundle, "rootfs")));
    }
    const missing = (spec: OciSpec) => void (spec.root!.path = "/nothing/there");
    assert.match(await refused(oci, missing), /no such file|ENOENT|does not exist/i);
    const none = (spec: OciSpec) => void (spec.root!.path = "");
    assert.match(await refused(oci, none), /root/);
  });

  test(`a read-only root cannot be written to, what is mounted in it can ${proves("config", "root.readonly")}`, async () => {
    const change = (spec: OciSpec) => {
      spec.root!.readonly = true;
      spec.mounts!.push({ destination: "/masked/folder", type: "tmpfs" });
    };
    await within(oci, change, async (container) => {
      assert.match((await write(container, "/new")).stderr, /Read-only file system/);
      assert.equal((await write(container, "/masked/folder/new")).code, 0);
      assert.ok((await mountsOf(container.pid)).get("/")!.options.includes("ro"));
    });
    await within(
      oci,
      () => {},
      async (container) => {
        assert.equal((await write(container, "/new")).code, 0);
      },
    );
    assert.equal(await readFile(join(rootfs, "new"), "utf8"), "x\n");
  });

  test(`the root propagates as the configuration says ${proves("config", "linux.rootfsPropagation")}`, async () => {
    const source = oci.path("shared-root");
    await onHost(
      oci,
      ...hostTmpfs(source),
      { op: "propagation", path: source, flags: MS.SHARED },
      { op: "open", path: rootfs, flags: 0, to: 1 },
      { op: "open", path: source, flags: 0, to: 2 },
      { op: "copyTree", fromRoot: 1, from: "/", toRoot: 2, to: "/" },
    );
    const cases: [word: string, tags: RegExp, later: boolean][] = [
      ["", /^$/, false],
      ["private", /^$/, false],
      ["rprivate", /^$/, false],
      ["slave", /^master:\d+$/, true],
      ["rslave", /^master:\d+$/, true],
      ["shared", /^shared:\d+$/, false],
      ["rshared", /^shared:\d+$/, false],
      ["unbindable", /^unbindable$/, false],
      ["runbindable", /^unbindable$/, false],
    ];
    try {
      for (const [index, [word, tags, arrives]] of cases.entries()) {
        const change = (spec: OciSpec) => {
          spec.root!.path = source;
          if (word) spec.linux!.rootfsPropagation = word;
        };
        await within(oci, change, async ({ pid }) => {
          assert.match((await mountsOf(pid)).get("/")!.tags.join(), tags, word);
          await onHost(oci, ...hostTmpfs(`${source}/late${index}`));
          assert.equal((await mountsOf(pid)).has(`/late${index}`), arrives, word);
          await onHost(oci, hostUmount(`${source}/late${index}`));
        });
      }
      // A peer group of its own: what is mounted in the container does not come back.
      const group = /shared:\d+/.exec((await mountsOf("self")).get(source)!.tags.join())![0];
      const change = (spec: OciSpec) => {
        spec.root!.path = source;
        spec.linux!.rootfsPropagation = "shared";
      };
      await within(oci, change, async ({ pid }) => {
        assert.doesNotMatch((await mountsOf(pid)).get("/")!.tags.join(), new RegExp(group));
      });
    } finally {
      await onHost(oci, hostUmount(source));
    }
    const wrong = (spec: OciSpec) => void (spec.linux!.rootfsPropagation = "often");
    assert.match(await refused(oci, wrong), /rootfsPropagation=often is not supported/);
  });

  test(`masked paths cannot be read, be they files, folders, links or procfs's ${proves("config", "linux.maskedPaths[]")}`, async () => {
    const paths = ["/masked/file", "/masked/folder", "/proc/cpuinfo", "/masked/nothing"];
    const change = (spec: OciSpec) => void (spec.linux!.maskedPaths = paths);
    await within(oci, change, async (container) => {
      for (const path of ["/masked/file", "/masked/link", "/proc/cpuinfo"]) {
        assert.equal(await inside(oci, container, "cat", path), "", path);
      }
      assert.equal(await inside(oci, container, "ls", "/masked/folder"), "");
      assert.match((await write(container, "/masked/folder/x")).stderr, /Read-only/);
      const mounts = await mountsOf(container.pid);
      assert.deepEqual(
        paths.map((path) => mounts.get(path)?.fstype),
        ["devtmpfs", "tmpfs", "devtmpfs", undefined].map((type, index) =>
          type === "devtmpfs" ? mounts.get(paths[index]!)!.fstype : type,
        ),
      );
    });
    assert.equal(await readFile(join(rootfs, "masked/file"), "utf8"), "secret");
    const relative = (spec: OciSpec) => void (spec.linux!.maskedPaths = ["masked/file"]);
    assert.match(await refused(oci, relative), /is not absolute/);
  });

  test(`read-only paths can be read only ${proves("config", "linux.readonlyPaths[]")}`, async () => {
    const change = (spec: OciSpec) => {
      spec.mounts!.push({ destination: "/masked/folder", type: "tmpfs" });
      spec.linux!.readonlyPaths = ["/masked", "/proc/sys", "/nothing/there"];
    };
    await within(oci, change, async (container) => {
      assert.equal(await inside(oci, container, "cat", "/masked/file"), "secret");
      const all = ["/masked/file", "/masked/folder/x", "/proc/sys/kernel/domainname"];
      for (const path of all) {
        assert.match((await write(container, path)).stderr, /Read-only file system/, path);
      }
      assert.equal((await write(container, "/beside")).code, 0);
    });
    const relative = (spec: OciSpec) => void (spec.linux!.readonlyPaths = ["masked/file"]);
    assert.match(await refused(oci, relative), /is not absolute/);
  });

  test(`a label without its security module is an error, never a container without it ${proves("config", "linux.mountLabel", "process.selinuxLabel", "process.apparmorProfile")}`, async (t) => {
    const kernel = await probeKernel();
    const label = "system_u:object_r:container_file_t:s0";
    const cases: [has: boolean, change: (spec: OciSpec) => void, says: RegExp][] = [
      [kernel.selinux, (spec) => void (spec.linux!.mountLabel = label), /selinux is not enabled/],
      [kernel.selinux, (spec) => void (spec.process!.selinuxLabel = label), /selinux/],
      [kernel.apparmor, (spec) => void (spec.process!.apparmorProfile = "x"), /apparmor/],
    ];
    for (const [has, change, says] of cases) {
      if (has) t.diagnostic("this kernel has the module: the refusal is not seen");
      else assert.match(await refused(oci, change), says);
    }
  });

  test(`annotations are kept, and told by state ${proves("config", "annotations")}`, async () => {
    const annotations = { "org.example.key": "value", empty: "", ü: "\u{1f9f1}" };
    const change = (spec: OciSpec) => void (spec.annotations = annotations);
    await within(oci, change, async ({ id }) => {
      assert.deepEqual(JSON.parse(await oci.ok("state", id)).annotations, annotations);
    });
  });
});
