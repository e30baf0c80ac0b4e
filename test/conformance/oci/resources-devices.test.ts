// Resources that have to do with devices: access, block input and output, and the tags of network
// packets. Hierarchies that the host does not mount are mounted where the machine is the test's.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { OciResources, OciSpec } from "../../../src/spec/index.ts";
import { cgroupsOf, limitFolder } from "../../support/oci-cgroups.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { printed, refusal, started } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

const run = promisify(execFile);
let oci: OciFixture;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const set = (resources: OciResources) => (spec: OciSpec) => {
  spec.linux!.resources = { ...spec.linux!.resources, ...resources };
};

/** A block device of the test's own, whose scheduler knows weights where the kernel has one. */
async function blockDevice(name: string) {
  const file = oci.path(name);
  await writeFile(file, "");
  await truncate(file, 4 << 20);
  const { stdout } = await run("losetup", ["-f", "--show", file]);
  const device = stdout.trim();
  const block = `/sys/block/${basename(device)}`;
  const scheduler = await writeFile(`${block}/queue/scheduler`, "bfq").then(
    () => "bfq",
    () => "none",
  );
  const [major, minor] = (await readFile(`${block}/dev`, "utf8")).trim().split(":").map(Number);
  return {
    ...{ major: major!, minor: minor!, scheduler },
    [Symbol.asyncDispose]: async () => {
      await writeFile(`${block}/queue/scheduler`, "none").catch(() => {});
      await run("losetup", ["-d", device]);
      await rm(file);
    },
  };
}

suite("block input and output", () => {
  const place = (pid: number) => {
    const { cgroup } = oci.runtime.kernel;
    return limitFolder(pid, cgroup, cgroup.v1.has("blkio") ? "blkio" : "io");
  };
  const text = async (pid: number, v1: string, v2: string) => {
    const { version, folder } = (await place(pid))!;
    return await readFile(join(folder, version === 1 ? v1 : v2), "utf8");
  };

  test(`a weight is the scheduler's that has weights ${proves("config", "linux.resources.blockIO", "linux.resources.blockIO.weight")}`, async () => {
    await using _device = await blockDevice("weighted"); // the scheduler's files come with it
    await using container = await started(oci, set({ blockIO: { weight: 300 } }));
    const seen = await text(container.pid, "blkio.bfq.weight", "io.bfq.weight");
    assert.match(seen, /^(default )?300\n/);
  });

  test(`a device can weigh otherwise ${proves("config", "linux.resources.blockIO.weightDevice[]", "linux.resources.blockIO.weightDevice[].major", "linux.resources.blockIO.weightDevice[].minor", "linux.resources.blockIO.weightDevice[].weight")}`, async () => {
    await using device = await blockDevice("weighted-device");
    const { major, minor } = device;
    const change = set({ blockIO: { weightDevice: [{ major, minor, weight: 200 }] } });
    if (device.scheduler !== "bfq") {
      assert.match(await refusal(oci, change), /weight/);
      return;
    }
    await using container = await started(oci, change);
    const seen = await text(container.pid, "blkio.bfq.weight_device", "io.bfq.weight");
    assert.match(seen, new RegExp(`^${major}:${minor} 200$`, "m"));
  });

  test(`weights of leaves are of no kernel since 5.0, and are refused ${proves("config", "linux.resources.blockIO.leafWeight", "linux.resources.blockIO.weightDevice[].leafWeight")}`, async () => {
    const message = /blkio.leaf_weight(_device)?: no such file|is for cgroup v1/i;
    assert.match(await refusal(oci, set({ blockIO: { leafWeight: 100 } })), message);
    const weightDevice = [{ major: 7, minor: 0, leafWeight: 100 }];
    assert.match(await refusal(oci, set({ blockIO: { weightDevice } })), message);
  });

  const THROTTLES = [
    [
      proves(
        "config",
        "linux.resources.blockIO.throttleReadBpsDevice[]",
        "linux.resources.blockIO.throttleReadBpsDevice[].major",
        "linux.resources.blockIO.throttleReadBpsDevice[].minor",
        "linux.resources.blockIO.throttleReadBpsDevice[].rate",
      ),
      "throttleReadBpsDevice",
      "read_bps",
      "rbps",
    ],
    [
      proves(
        "config",
        "linux.resources.blockIO.throttleWriteBpsDevice[]",
        "linux.resources.blockIO.throttleWriteBpsDevice[].major",
        "linux.resources.blockIO.throttleWriteBpsDevice[].minor",
        "linux.resources.blockIO.throttleWriteBpsDevice[].rate",
      ),
      "throttleWriteBpsDevice",
      "write_bps",
      "wbps",
    ],
    [
      proves(
        "config",
        "linux.resources.blockIO.throttleReadIOPSDevice[]",
        "linux.resources.blockIO.throttleReadIOPSDevice[].major",
        "linux.resources.blockIO.throttleReadIOPSDevice[].minor",
        "linux.resources.blockIO.throttleReadIOPSDevice[].rate",
      ),
      "throttleReadIOPSDevice",
      "read_iops",
      "riops",
    ],
    [
      proves(
        "config",
        "linux.resources.blockIO.throttleWriteIOPSDevice[]",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].major",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].minor",
        "linux.resources.blockIO.throttleWriteIOPSDevice[].rate",
      ),
      "throttleWriteIOPSDevice",
      "write_iops",
      "wiops",
    ],
  ] as const;
  for (const [row, field, file, key] of THROTTLES) {
    test(`a device is throttled as asked ${row}`, async () => {
      await using device = await blockDevice(field);
      const { major, minor } = device;
      const change = set({ blockIO: { [field]: [{ major, minor, rate: 123_000 }] } });
      await using container = await started(oci, change);
      const seen = await text(container.pid, `blkio.throttle.${file}_device`, "io.max");
      const wanted = new RegExp(`^${major}:${minor} (123000|.*${key}=123000.*)$`, "m");
      assert.match(seen, wanted);
    });
  }

  test("a device that does not exist is refused", async () => {
    const throttleReadBpsDevice = [{ major: 240, minor: 77, rate: 1 }];
    assert.match(
      await refusal(oci, set({ blockIO: { throttleReadBpsDevice } })),
      /no such device/i,
    );
  });
});

test(`devices are open to the container as its rules say ${proves("config", "linux.resources.devices[]", "linux.resources.devices[].allow", "linux.resources.devices[].type", "linux.resources.devices[].major", "linux.resources.devices[].minor", "linux.resources.devices[].access")}`, async () => {
  const deny = { allow: false, access: "rwm" };
  const rule = { allow: true, type: "c", major: 10, minor: 200 }; // tun: opening it is harmless
  const open = async (access: string | undefined) => {
    const devices = [deny, ...(access === undefined ? [] : [{ ...rule, access }])];
    await rm(join(oci.runtime.native.rootfs, "tmp/tun"), { force: true });
    // It makes the node, and opens it to read and to write.
    const args = ["mknod", "/tmp/tun", "10", "200"];
    const { id, bundle } = await oci.bundle(args, set({ devices }));
    return (await oci.call("run", "-b", bundle, id)).stderr;
  };
  for (const access of [undefined, "r", "w", "m"]) {
    assert.match(await open(access), /open: Operation not permitted/, `${access}`);
  }
  assert.doesNotMatch(await open("rw"), /not permitted/);
  for (const bad of [
    { ...rule, access: "x" },
    { ...rule, type: "z", access: "r" },
  ]) {
    assert.match(await refusal(oci, set({ devices: [bad] })), /invalid device/);
  }
  // The standard ones are always there.
  const said = await printed(oci, ["write", "/dev/null", "x"], set({ devices: [deny] }));
  assert.equal(said, "");
});

test(`the packets of a container carry its class and priorities ${proves("config", "linux.resources.network", "linux.resources.network.classID", "linux.resources.network.priorities[]", "linux.resources.network.priorities[].name", "linux.resources.network.priorities[].priority")}`, async (t) => {
  const network = { classID: 0x100001, priorities: [{ name: "lo", priority: 3 }] };
  const { cgroup } = oci.runtime.kernel;
  if (cgroup.v1.has("net_cls") && cgroup.v1.has("net_prio")) {
    await using container = await started(oci, set({ network }));
    const folders = await cgroupsOf(container.pid, cgroup);
    const classID = await readFile(`${folders.get("net_cls")}/net_cls.classid`, "utf8");
    assert.equal(classID, `${0x100001}\n`);
    const map = await readFile(`${folders.get("net_prio")}/net_prio.ifpriomap`, "utf8");
    assert.match(map, /^lo 3$/m);
    return;
  }
  assert.match(await refusal(oci, set({ network })), /no net_(cls|prio) cgroup|is for cgroup v1/);
  // A hierarchy is the whole machine's: every process is in it while it is mounted, which other
  // tests would see.
  if (!process.env["GANTRY_VM"] && !process.env["GANTRY_TEST_HIERARCHIES"]) {
    return t.diagnostic("mounting net_cls is for machines of the test's own");
  }
  const mount = oci.path("net-controllers");
  await mkdir(mount);
  const { id, bundle } = await oci.bundle(["sleep"], set({ network }));
  const runtime = `GANTRY_PLAIN=1 ${oci.program} --root ${oci.root}`;
  const script = `
    mount -t cgroup -o net_cls,net_prio cgroup ${mount} || exit 42
    ${runtime} run -d -b ${bundle} ${id} </dev/null >/dev/null || exit 1
    cat ${mount}/*/${id}/net_cls.classid ${mount}/*/${id}/net_prio.ifpriomap
    ${runtime} delete -f ${id}
    ls -d ${mount}/*/${id} 2>/dev/null && echo left
    rmdir ${mount}/gantry-test-*
    umount ${mount}
    # A hierarchy whose cgroups were just removed outlives its mount: once more without them.
    mount -t cgroup -o net_cls,net_prio cgroup ${mount} && umount ${mount}`;
  const done = await run("unshare", ["-m", "sh", "-c", script]).catch((error) => error);
  if (done.code === 42) return t.skip("the kernel has no net_cls and net_prio controllers");
  assert.match(done.stdout, /^1048577\n(?:.*\n)*lo 3\n/, done.stderr);
  assert.doesNotMatch(done.stdout, /left/);
});

test("what cannot be a name of an interface is refused", async () => {
  const network = { priorities: [{ name: "lo 5\neth0", priority: 3 }] };
  assert.match(await refusal(oci, set({ network })), /invalid network interface name|cgroup v1/);
});
