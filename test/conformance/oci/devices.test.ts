// /dev of a container: the nodes that every container has, those of the configuration in all their
// kinds, in user namespaces too, the links, the terminal with its size.

import assert from "node:assert/strict";
import { chown, mkdir, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parseMountinfo } from "../../../src/runtime/index.ts";
import type { OciDevice, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  inside,
  mountsOf,
  refused,
  removed,
  type Started,
  started,
  within,
  withNamespaces,
} from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const CHARACTER = 0o020000;
const BLOCK = 0o060000;
const FIFO = 0o010000;

const nodes: { row: string; path: string; device: string }[] = [
  { row: proves("default-device", "/dev/null"), path: "/dev/null", device: "1:3" },
  { row: proves("default-device", "/dev/zero"), path: "/dev/zero", device: "1:5" },
  { row: proves("default-device", "/dev/full"), path: "/dev/full", device: "1:7" },
  { row: proves("default-device", "/dev/random"), path: "/dev/random", device: "1:8" },
  { row: proves("default-device", "/dev/urandom"), path: "/dev/urandom", device: "1:9" },
  { row: proves("default-device", "/dev/tty"), path: "/dev/tty", device: "5:0" },
];
const links: { row: string; path: string; target: string }[] = [
  { row: proves("dev-symlink", "/dev/fd"), path: "/dev/fd", target: "/proc/self/fd" },
  { row: proves("dev-symlink", "/dev/stdin"), path: "/dev/stdin", target: "/proc/self/fd/0" },
  { row: proves("dev-symlink", "/dev/stdout"), path: "/dev/stdout", target: "/proc/self/fd/1" },
  { row: proves("dev-symlink", "/dev/stderr"), path: "/dev/stderr", target: "/proc/self/fd/2" },
  { row: proves("default-device", "/dev/ptmx"), path: "/dev/ptmx", target: "pts/ptmx" },
];
const systems: { row: string; path: string; fstype: string }[] = [
  { row: proves("default-fs", "/proc"), path: "/proc", fstype: "proc" },
  { row: proves("default-fs", "/sys"), path: "/sys", fstype: "sysfs" },
  { row: proves("default-fs", "/dev/pts"), path: "/dev/pts", fstype: "devpts" },
  { row: proves("default-fs", "/dev/shm"), path: "/dev/shm", fstype: "tmpfs" },
];

const devices: OciDevice[] = [
  { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o640, uid: 7, gid: 8 },
  { path: "/dev/raw/deep", type: "u", major: 10, minor: 200 },
  { path: "/dev/disk", type: "b", major: 7, minor: 77, fileMode: 0o600 },
  { path: "/dev/queue", type: "p", fileMode: 0o622, gid: 9 },
];
const allow = (spec: OciSpec) => {
  spec.linux!.devices = devices;
  spec.linux!.resources = {
    ...spec.linux!.resources,
    devices: [{ allow: true, access: "rwm" }],
  };
};

function inUserNamespace(spec: OciSpec): void {
  withNamespaces(spec, { add: [{ type: "user" }] });
  delete spec.linux!.sysctl;
  const map = [{ containerID: 0, hostID: 300_000, size: 1000 }];
  Object.assign(spec.linux!, { uidMappings: map, gidMappings: map });
}

describe("gantry-runtime's devices", { skip }, () => {
  let oci: OciFixture;
  let plain: Started;
  let mapped: Started;
  before(async () => {
    oci = await OciFixture.make();
    await mkdir(join(oci.runtime.native.rootfs, "sys"), { recursive: true });
    const change = (spec: OciSpec) => allow(spec);
    plain = await started(oci, change);
    const { rootfs } = oci.runtime.native;
    const entries = await readdir(rootfs, { withFileTypes: true, recursive: true });
    const folders = entries.filter((entry) => entry.isDirectory());
    const paths = folders.map(({ parentPath, name }) => join(parentPath, name));
    for (const path of [rootfs, ...paths]) await chown(path, 300_000, 300_000);
    mapped = await started(oci, (spec) => {
      inUserNamespace(spec);
      allow(spec);
    });
  });
  after(async () => {
    for (const container of [plain, mapped]) if (container) await removed(oci, container);
    await oci[Symbol.asyncDispose]();
  });
  const seen = async (container: Started, path: string) => {
    const text = await inside(oci, container, "stat", path);
    const [, mode = "", uid, gid, device] =
      /mode=(\d+) uid=(\d+) gid=(\d+) .*rdev=(\S+)/.exec(text) ?? [];
    return { mode: Number.parseInt(mode, 8), owner: `${uid}:${gid}`, device };
  };
  const both = () => [plain, mapped];

  for (const { row, path, device } of nodes) {
    test(`every container has ${path}, for everybody ${row}`, async () => {
      for (const container of both()) {
        const node = await seen(container, path);
        assert.deepEqual(node, { mode: CHARACTER | 0o666, owner: "0:0", device });
      }
    });
  }

  for (const { row, path, target } of links) {
    test(`${path} leads to ${target} ${row}`, async () => {
      for (const container of both()) {
        assert.equal((await seen(container, path)).mode & 0o170000, 0o120000);
        assert.equal(await linkOf(container.pid, path), target);
      }
    });
  }

  for (const { row, path, fstype } of systems) {
    test(`${path} is a ${fstype} of the container's ${row}`, async () => {
      for (const { pid } of both()) assert.equal((await mountsOf(pid)).get(path)!.fstype, fstype);
    });
  }

  test(`devices have the kind, number, mode and owner of the configuration ${proves("config", "linux.devices[]", "linux.devices[].path", "linux.devices[].type", "linux.devices[].major", "linux.devices[].minor", "linux.devices[].fileMode", "linux.devices[].uid", "linux.devices[].gid")}`, async () => {
    for (const container of both()) {
      const fuse = { mode: CHARACTER | 0o640, owner: "7:8", device: "10:229" };
      assert.deepEqual(await seen(container, "/dev/fuse"), fuse);
      const raw = { mode: CHARACTER | 0o666, owner: "0:0", device: "10:200" };
      assert.deepEqual(await seen(container, "/dev/raw/deep"), raw);
      const disk = { mode: BLOCK | 0o600, owner: "0:0", device: "7:77" };
      assert.deepEqual(await seen(container, "/dev/disk"), disk);
      const { mode, owner } = await seen(container, "/dev/queue");
      assert.deepEqual([mode, owner], [FIFO | 0o622, "0:9"]);
    }
  });

  test("a node works in a user namespace, and nothing can be made there", async () => {
    await oci.ok("exec", mapped.id, "write", "/dev/null", "x");
    assert.match(
      (await oci.call("exec", mapped.id, "write", "/dev/full", "x")).stderr,
      /No space left/,
    );
    assert.match(
      (await oci.call("exec", mapped.id, "mknod", "/dev/mine", "1", "3")).stderr,
      /not permitted/,
    );
  });

  test("a device of another path than /dev's is made; in a user namespace the host's is bound", async () => {
    const device = { path: "/nodes/null", type: "c", major: 1, minor: 3 };
    const change = (spec: OciSpec) => void (spec.linux!.devices = [device]);
    await within(oci, change, async (container) => {
      assert.equal((await seen(container, "/nodes/null")).device, "1:3");
    });
    await rm(join(oci.runtime.native.rootfs, "nodes"), { recursive: true });
    const user = (spec: OciSpec) => {
      inUserNamespace(spec);
      change(spec);
    };
    assert.match(await refused(oci, user), /nodes\/null/);
  });

  test("without a /dev of its own a node of the image is taken only where it is the same", async () => {
    const { rootfs } = oci.runtime.native;
    const noDev = (spec: OciSpec) => {
      spec.mounts = spec.mounts!.filter(({ destination }) => !destination.startsWith("/dev"));
    };
    await symlink("/tmp/elsewhere", join(rootfs, "dev/ptmx"));
    try {
      for (let round = 0; round < 2; round++) {
        await within(oci, noDev, async (container) => {
          assert.equal((await seen(container, "/dev/zero")).device, "1:5");
          assert.equal(await linkOf(container.pid, "/dev/ptmx"), "pts/ptmx");
        });
      }
      await rm(join(rootfs, "dev/zero"));
      await writeFile(join(rootfs, "dev/zero"), "no device");
      assert.match(await refused(oci, noDev), /\/dev\/zero/);
    } finally {
      for (const name of await readdir(join(rootfs, "dev"))) {
        if (name !== "pts") await rm(join(rootfs, "dev", name), { recursive: true });
      }
    }
  });

  test("what is no device is refused", async () => {
    const cases: [OciDevice, RegExp][] = [
      [{ path: "/dev/x", type: "a", major: 1, minor: 1 }, /unknown device type a/],
      [{ path: "/dev/x", type: "valueOf", major: 1, minor: 1 }, /unknown device type/],
      [{ path: "/dev/x", type: "c" }, /needs major and minor/],
      [{ path: "dev/x", type: "c", major: 1, minor: 3 }, /is not absolute/],
    ];
    for (const [device, says] of cases) {
      const change = (spec: OciSpec) => void (spec.linux!.devices = [device]);
      assert.match(await refused(oci, change), says);
    }
  });

  test(`a terminal has its size, and is the console ${proves("config", "process.terminal", "process.consoleSize", "process.consoleSize.height", "process.consoleSize.width")} ${proves("default-device", "/dev/console")}`, async () => {
    const { id, bundle } = await oci.bundle(["seq", "tty", "cat /proc/self/mountinfo"], (spec) => {
      spec.process!.terminal = true;
      spec.process!.consoleSize = { height: 31, width: 97 };
    });
    const { stdout, stderr } = await oci.call("run", "-b", bundle, id);
    assert.match(stdout, /^tty=111 rows=31 columns=97/, stderr);
    const console = parseMountinfo(stdout).find((mount) => mount.path === "/dev/console")!;
    assert.equal(console.fstype, "devpts");
    assert.match(console.root, /^\/\d+$/);
    const wrong = (spec: OciSpec) => {
      spec.process!.terminal = true;
      spec.process!.consoleSize = { height: 70_000, width: 80 };
    };
    assert.match(await refused(oci, wrong), /consoleSize: 70000 is no size/);
  });
});

/** A link as the container's root has it. */
async function linkOf(pid: number, path: string): Promise<string> {
  return await readlink(`/proc/${pid}/root${path}`);
}
