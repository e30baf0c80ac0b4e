// Namespaces of a configuration, of all eight kinds: new ones, those of others by path (a user
// namespace among them), none at all; and what belongs to them: maps, clocks, names, sysctls.

import assert from "node:assert/strict";
import { chown, readdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { MS } from "../../../src/runtime/kernel-numbers.ts";
import type { OciIdMapping, OciSpec } from "../../../src/spec/index.ts";
import { NEW, pipes, streams } from "../../support/native-fixture.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  inside,
  mountsOf,
  namespaceOf,
  refused,
  removed,
  type Started,
  started,
  within,
  withNamespaces,
} from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
/** Kind in the configuration → name in /proc/PID/ns. */
const FILES = {
  pid: "pid",
  network: "net",
  mount: "mnt",
  ipc: "ipc",
  uts: "uts",
  user: "user",
  cgroup: "cgroup",
  time: "time",
} as const;
type Kind = keyof typeof FILES;

const MAPS: Pick<NonNullable<OciSpec["linux"]>, "uidMappings" | "gidMappings"> = {
  // More than five ranges, in no order.
  uidMappings: [
    { containerID: 1000, hostID: 301_000, size: 500 },
    { containerID: 0, hostID: 300_000, size: 100 },
    { containerID: 100, hostID: 310_000, size: 100 },
    { containerID: 200, hostID: 320_000, size: 100 },
    { containerID: 300, hostID: 330_000, size: 100 },
    { containerID: 400, hostID: 340_000, size: 100 },
    { containerID: 65_534, hostID: 399_999, size: 1 },
  ],
  gidMappings: [
    { containerID: 0, hostID: 400_000, size: 3000 },
    { containerID: 65_534, hostID: 499_999, size: 1 },
  ],
};
const FIRST = [{ containerID: 0, hostID: 300_000, size: 65_536 }];

/** In a user namespace of its own. The image's folders are root's, who is nobody there. */
function inUserNamespace(spec: OciSpec, maps = MAPS): void {
  withNamespaces(spec, { add: [{ type: "user" }] });
  // The default one is of groups that are not mapped.
  delete spec.linux!.sysctl;
  Object.assign(spec.linux!, structuredClone(maps));
}

const isNew = (kind: Kind) => (spec: OciSpec) => {
  if (kind === "user") inUserNamespace(spec);
  else withNamespaces(spec, { add: [{ type: kind }] });
};

const kinds: { kind: Kind; row: string }[] = [
  { kind: "pid", row: proves("namespace", "pid") },
  { kind: "network", row: proves("namespace", "network") },
  { kind: "mount", row: proves("namespace", "mount") },
  { kind: "ipc", row: proves("namespace", "ipc") },
  { kind: "uts", row: proves("namespace", "uts") },
  { kind: "user", row: proves("namespace", "user") },
  { kind: "cgroup", row: proves("namespace", "cgroup") },
  { kind: "time", row: proves("namespace", "time") },
];

describe("gantry-runtime's namespaces", { skip }, () => {
  let oci: OciFixture;
  /** Whose namespaces are joined; its root is mapped. */
  let donor: Started;
  before(async () => {
    oci = await OciFixture.make();
    await ownFolders(oci.runtime.native.rootfs);
    donor = await started(oci, (spec) => {
      inUserNamespace(spec);
      withNamespaces(spec, { add: [{ type: "cgroup" }, { type: "time" }] });
      spec.linux!.timeOffsets = { monotonic: { secs: 1000 } };
    });
  });
  after(async () => {
    if (donor) await removed(oci, donor);
    await oci[Symbol.asyncDispose]();
  });

  for (const { kind, row } of kinds) {
    test(`a new ${kind} namespace is nobody else's ${row}`, async () => {
      await within(oci, isNew(kind), async ({ pid }) => {
        const own = await namespaceOf(pid, FILES[kind]);
        assert.notEqual(own, await namespaceOf("self", FILES[kind]));
        assert.notEqual(own, await namespaceOf(donor.pid, FILES[kind]));
      });
    });

    test(`a ${kind} namespace by path is that one ${proves("config", "linux.namespaces[].path")}`, async () => {
      const path = `/proc/${donor.pid}/ns/${FILES[kind]}`;
      const join = (spec: OciSpec) => {
        // A process of the host may mount no mqueue or proc of another's namespaces.
        withNamespaces(spec, { add: [{ type: kind, path }] });
        if (kind === "pid" || kind === "ipc") hidesNothing(spec);
        if (kind === "uts") delete spec.hostname;
        if (kind === "user") delete spec.linux!.sysctl;
      };
      if (kind === "mount") return await joinsMounts();
      await within(oci, join, async ({ pid }) => {
        assert.equal(
          await namespaceOf(pid, FILES[kind]),
          await namespaceOf(donor.pid, FILES[kind]),
        );
      });
    });
  }

  /** A mount namespace that is joined gets the container's root: a copy of the host's, made for
   * it. */
  async function joinsMounts(): Promise<void> {
    const { native } = oci.runtime;
    const spare = await native.start([], {
      host: [...pipes(false), { op: "clone", flags: NEW.ns, pid: 11 }],
      container: [
        ...streams(false),
        { op: "propagation", path: "/", flags: MS.REC | MS.PRIVATE },
        { op: "execve", argv: [join(native.rootfs, "bin/sleep")], env: [] },
      ],
    });
    const path = `/proc/${spare.created.pid}/ns/mnt`;
    const change = (spec: OciSpec) => withNamespaces(spec, { add: [{ type: "mount", path }] });
    await within(oci, change, async (container) => {
      const { pid } = container;
      assert.equal(await namespaceOf(pid, "mnt"), await namespaceOf(spare.created.pid, "mnt"));
      assert.equal((await mountsOf(pid)).get("/proc")!.fstype, "proc");
      assert.match(await inside(oci, container, "ls", "/"), /^bin/);
    });
    await spare.monitor.kill("", 9);
    const host = (spec: OciSpec) =>
      withNamespaces(spec, { add: [{ type: "mount", path: "/proc/self/ns/mnt" }] });
    assert.match(await refused(oci, host), /the host's mount namespace cannot be a container's/);
  }

  test(`kinds that are not named stay the host's, but for mounts ${proves("config", "linux.namespaces[]", "linux.namespaces[].type")}`, async () => {
    const change = (spec: OciSpec) => {
      withNamespaces(spec, { without: Object.keys(FILES).filter((kind) => kind !== "mount") });
      delete spec.hostname;
      delete spec.linux!.sysctl;
      hidesNothing(spec);
    };
    await within(oci, change, async ({ pid }) => {
      for (const [kind, file] of Object.entries(FILES)) {
        const same = (await namespaceOf(pid, file)) === (await namespaceOf("self", file));
        assert.equal(same, kind !== "mount", kind);
      }
    });
    const without = (spec: OciSpec) => withNamespaces(spec, { without: ["mount"] });
    assert.match(await refused(oci, without), /needs a mount namespace/);
  });

  test("namespaces that do not exist, are named twice, or are of another kind are refused", async () => {
    const cases: [{ type: string; path?: string }[], RegExp][] = [
      [[{ type: "uts" }, { type: "uts" }], /duplicated ns/],
      [[{ type: "nope" }], /namespace "nope" does not exist/],
      [[{ type: "constructor" }], /does not exist/],
      [[{ type: "ipc", path: "proc/1/ns/ipc" }], /is not absolute/],
      [[{ type: "ipc", path: "/nothing/there" }], /no such file|ENOENT/i],
      [[{ type: "ipc", path: "/etc/hosts" }], /unexpected file system/],
      [[{ type: "ipc", path: `/proc/${donor.pid}/ns/uts` }], /invalid argument|EINVAL/i],
      [[{ type: "user", path: `/proc/${donor.pid}/ns/net` }], /user namespace/],
    ];
    for (const [add, says] of cases) {
      const change = (spec: OciSpec) => {
        const others = spec.linux!.namespaces!.filter(({ type }) => type !== add[0]!.type);
        spec.linux!.namespaces = [...others, ...add];
        delete spec.hostname;
      };
      assert.match(await refused(oci, change), says);
    }
  });

  test(`a user namespace has the ranges of the configuration ${proves("config", "linux.uidMappings[]", "linux.uidMappings[].containerID", "linux.uidMappings[].hostID", "linux.uidMappings[].size", "linux.gidMappings[]", "linux.gidMappings[].containerID", "linux.gidMappings[].hostID", "linux.gidMappings[].size")}`, async () => {
    const change = (spec: OciSpec) => {
      inUserNamespace(spec);
      spec.process!.user = { uid: 1100, gid: 2500, additionalGids: [7] };
    };
    await within(oci, change, async (container) => {
      const { pid } = container;
      const map = async (file: string) =>
        (await readFile(`/proc/${pid}/${file}`, "utf8"))
          .trim()
          .split("\n")
          .map((line) => line.trim().split(/\s+/).join(" "));
      const lines = (mappings: OciIdMapping[]) =>
        [...mappings]
          .sort((a, b) => a.containerID - b.containerID)
          .map((m) => `${m.containerID} ${m.hostID} ${m.size}`);
      // The kernel shows them in order.
      assert.deepEqual(await map("uid_map"), lines(MAPS.uidMappings!));
      assert.deepEqual(await map("gid_map"), lines(MAPS.gidMappings!));
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      assert.match(status, /^Uid:\s301100\s301100/m);
      assert.match(status, /^Gid:\s402500\s402500/m);
      assert.match(status, /^Groups:\s400007/m);
      assert.match(await inside(oci, container, "id"), /1100/);
      // Root in it is nobody outside, also to the files of the host.
      const root = await oci.call("exec", "-u", "0:0", container.id, "write", "/etc/hosts", "x");
      assert.match(root.stderr, /ermission denied|too large/);
    });
  });

  test("maps that the kernel would not take are refused with a reason", async () => {
    const range = (containerID: number, hostID: number, size: number) => {
      return { containerID, hostID, size };
    };
    const cases: [OciIdMapping[], RegExp][] = [
      [[], /no uid mappings found/],
      [[range(0, 1000, 10), range(5, 5000, 10)], /overlap at containerID 5/],
      [[range(0, 1000, 10), range(50, 1009, 10)], /overlap at hostID 1009/],
      [[range(0, 1000, 0)], /is empty/],
      [[range(0, 2 ** 32 - 5, 10)], /beyond the last id/],
      [[range(-1, 0, 10)], /is no range/],
      [Array.from({ length: 341 }, (_, i) => range(i * 2, i * 2, 1)), /more than the kernel takes/],
    ];
    for (const [uidMappings, says] of cases) {
      const change = (spec: OciSpec) => {
        inUserNamespace(spec, { uidMappings, gidMappings: FIRST });
      };
      assert.match(await refused(oci, change), says);
    }
    const maps = (spec: OciSpec) => Object.assign(spec.linux!, MAPS);
    assert.match(await refused(oci, maps), /user namespace isn't enabled/);
  });

  test("a user namespace is joined with what else is joined, and owns what is new", async () => {
    const path = (file: string) => `/proc/${donor.pid}/ns/${file}`;
    const change = (spec: OciSpec) => {
      withNamespaces(spec, {
        add: [
          { type: "user", path: path("user") },
          { type: "network", path: path("net") },
          { type: "ipc", path: path("ipc") },
          { type: "pid" },
        ],
      });
      spec.process!.user = { uid: 1001, gid: 5 };
      spec.hostname = "joined";
      delete spec.linux!.sysctl;
    };
    await within(oci, change, async (container) => {
      const { pid } = container;
      for (const file of ["user", "net", "ipc"]) {
        assert.equal(await namespaceOf(pid, file), await namespaceOf(donor.pid, file));
      }
      for (const file of ["uts", "pid", "mnt"]) {
        assert.notEqual(await namespaceOf(pid, file), await namespaceOf(donor.pid, file));
      }
      assert.match(await readFile(`/proc/${pid}/status`, "utf8"), /^Uid:\s301001\s/m);
      assert.equal(await inside(oci, container, "hostname"), "joined (none)\n");
      // Only who owns its pid namespace may have mounted its own /proc.
      assert.equal((await mountsOf(pid)).get("/proc")!.fstype, "proc");
      assert.match(await inside(oci, container, "ls", "/proc"), /^1\n/);
      // Its nodes belong to the root of that namespace, and work.
      assert.match(await inside(oci, container, "stat", "/dev/null"), /uid=0 gid=0 .*rdev=1:3/);
      await oci.ok("exec", container.id, "write", "/dev/null", "x");
    });
    const wrong = (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "user", path: path("user") }] });
      Object.assign(spec.linux!, { uidMappings: FIRST, gidMappings: FIRST });
    };
    assert.match(await refused(oci, wrong), /uidMappings are not those of the user namespace/);
  });

  test(`clocks of a new time namespace are set off, others' are left alone ${proves("config", "linux.timeOffsets", "linux.timeOffsets.*.secs", "linux.timeOffsets.*.nanosecs")}`, async () => {
    const change = (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "time" }] });
      spec.linux!.timeOffsets = {
        boottime: { secs: 86_400, nanosecs: 5 },
        monotonic: { secs: -1, nanosecs: 999_999_999 },
      };
    };
    await within(oci, change, async (container) => {
      const offsets = await readFile(`/proc/${container.pid}/timens_offsets`, "utf8");
      const lines = offsets
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/).join(" "));
      assert.deepEqual(lines, ["monotonic -1 999999999", "boottime 86400 5"]);
      const uptime = async (text: Promise<string>) => Number((await text).split(" ")[0]);
      const host = await uptime(readFile("/proc/uptime", "utf8"));
      const guest = await uptime(inside(oci, container, "cat", "/proc/uptime"));
      assert.ok(guest - host >= 86_400, `${guest} against ${host}`);
    });
    const time = (namespace: { path?: string } | undefined, clock: string) => (spec: OciSpec) => {
      if (namespace) withNamespaces(spec, { add: [{ type: "time", ...namespace }] });
      spec.linux!.timeOffsets = { [clock]: { secs: 1 } };
    };
    assert.match(await refused(oci, time(undefined, "boottime")), /time namespace isn't enabled/);
    assert.match(await refused(oci, time({}, "realtime")), /there is no clock "realtime"/);
    const joined = time({ path: `/proc/${donor.pid}/ns/time` }, "boottime");
    assert.match(await refused(oci, joined), /only be set in a new time namespace/);
    const past = (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "time" }] });
      spec.linux!.timeOffsets = { boottime: { secs: -1e12 } };
    };
    assert.match(await refused(oci, past), /timens_offsets/);
  });

  test(`host and domain name are the container's own ${proves("config", "hostname", "domainname")}`, async () => {
    const change = (spec: OciSpec) => {
      spec.hostname = "a-name";
      spec.domainname = "a.domain";
    };
    await within(oci, change, async (container) => {
      assert.equal(await inside(oci, container, "hostname"), "a-name a.domain\n");
      const domain = await inside(oci, container, "cat", "/proc/sys/kernel/domainname");
      assert.equal(domain, "a.domain\n");
    });
    assert.notEqual(hostname(), "a-name");
    const without = (field: "hostname" | "domainname") => (spec: OciSpec) => {
      delete spec.hostname;
      spec[field] = "x";
      withNamespaces(spec, { without: ["uts"] });
    };
    assert.match(await refused(oci, without("hostname")), /unable to set hostname/);
    assert.match(await refused(oci, without("domainname")), /unable to set domainname/);
    const hosts = (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "uts", path: "/proc/self/ns/uts" }] });
    };
    assert.match(await refused(oci, hosts), /without a private UTS namespace/);
  });

  test(`sysctls are those of the container's namespaces, and no others ${proves("config", "linux.sysctl")}`, async () => {
    const sysctl = {
      "net.ipv4.ip_forward": "1",
      "net/core/somaxconn": "77",
      "kernel.shmmax": "123456",
      "kernel.msgmni": "99",
      "fs.mqueue.msg_max": "12",
      "kernel.domainname": "by.sysctl",
    };
    const change = (spec: OciSpec) => void (spec.linux!.sysctl = sysctl);
    const values = (read: (path: string) => Promise<string>) =>
      Promise.all(Object.keys(sysctl).map((key) => read(`/proc/sys/${key.replaceAll(".", "/")}`)));
    const outside = () => values((path) => readFile(path, "utf8"));
    const before = await outside();
    await within(oci, change, async (container) => {
      const seen = await values((path) => inside(oci, container, "cat", path));
      assert.deepEqual(
        seen.map((text) => text.trim()),
        Object.values(sysctl),
      );
    });
    assert.deepEqual(await outside(), before);
    const cases: [key: string, without: string, says: RegExp][] = [
      ["kernel.panic", "", /not in a separate kernel namespace/],
      ["vm.swappiness", "", /not in a separate kernel namespace/],
      ["kernel.hostname", "", /conflicts with the OCI "hostname"/],
      ["net.ipv4.ip_forward", "network", /not allowed in host network namespace/],
      ["kernel.shmmax", "ipc", /not allowed in the hosts ipc namespace/],
      ["net/../kernel/panic", "", /invalid sysctl|separate kernel/],
      ["net.ipv4.nothing_like_it", "", /nothing_like_it/],
    ];
    for (const [key, without, says] of cases) {
      const wrong = (spec: OciSpec) => {
        withNamespaces(spec, { without: [without] });
        if (without === "ipc") hidesNothing(spec);
        spec.linux!.sysctl = { [key]: "1" };
      };
      assert.match(await refused(oci, wrong), says);
    }
    const host = (spec: OciSpec) => {
      withNamespaces(spec, { add: [{ type: "network", path: "/proc/self/ns/net" }] });
      spec.linux!.sysctl = { "net.ipv4.ip_forward": "1" };
    };
    assert.match(await refused(oci, host), /not allowed in host network namespace/);
  });
});

/** As an engine prepares a root file system for a user namespace: its root makes mount points. */
async function ownFolders(rootfs: string): Promise<void> {
  const entries = await readdir(rootfs, { withFileTypes: true, recursive: true });
  const folders = entries.filter((entry) => entry.isDirectory());
  const paths = folders.map(({ parentPath, name }) => join(parentPath, name));
  for (const path of [rootfs, ...paths]) await chown(path, 300_000, 400_000);
}

/** Mounts that only the owner of all namespaces may make are the host's own instead. */
function hidesNothing(spec: OciSpec): void {
  spec.mounts = spec.mounts!.filter(({ type }) => type !== "mqueue");
}
