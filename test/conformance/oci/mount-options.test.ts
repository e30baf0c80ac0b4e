// Every mount option of the runtime specification, as the kernel shows the mount afterwards. One
// container has a mount for each row: binds of two trees (one with every restriction, one with
// none, each with a mount beneath), and file systems of its own for what is a superblock's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { MountInfo } from "../../../src/runtime/index.ts";
import { MOUNT_ATTR } from "../../../src/runtime/kernel-numbers.ts";
import type { OciMount } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  hostTmpfs,
  hostUmount,
  inside,
  mountsOf,
  onHost,
  removed,
  type Started,
  started,
} from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const A = MOUNT_ATTR;
const STRICT = A.RDONLY | A.NOSUID | A.NODEV | A.NOEXEC | A.NOATIME | A.NODIRATIME | A.NOSYMFOLLOW;

interface Row {
  row: string;
  from: "strict" | "plain" | "times";
  options: string[];
  /** A word of mountinfo's that the mount and the one beneath have, or (with "!") have not. */
  top: string;
  beneath: string;
}
const bind = (
  row: string,
  from: Row["from"],
  options: string,
  [top, beneath]: [string, string],
): Row => ({ row, from, options: ["rbind", ...options.split(" ")], top, beneath });

const binds: Row[] = [
  bind(proves("mount-option", "ro"), "plain", "ro", ["ro", "rw"]),
  bind(proves("mount-option", "rw"), "strict", "rw", ["rw", "ro"]),
  bind(proves("mount-option", "rro"), "plain", "rro", ["ro", "ro"]),
  bind(proves("mount-option", "rrw"), "strict", "rrw", ["rw", "rw"]),
  bind(proves("mount-option", "nosuid"), "plain", "nosuid", ["nosuid", "!nosuid"]),
  bind(proves("mount-option", "suid"), "strict", "suid", ["!nosuid", "nosuid"]),
  bind(proves("mount-option", "rnosuid"), "plain", "rnosuid", ["nosuid", "nosuid"]),
  bind(proves("mount-option", "rsuid"), "strict", "rsuid", ["!nosuid", "!nosuid"]),
  bind(proves("mount-option", "nodev"), "plain", "nodev", ["nodev", "!nodev"]),
  bind(proves("mount-option", "dev"), "strict", "dev", ["!nodev", "nodev"]),
  bind(proves("mount-option", "rdev"), "strict", "rdev", ["!nodev", "!nodev"]),
  bind("rnodev", "plain", "rnodev", ["nodev", "nodev"]),
  bind(proves("mount-option", "noexec"), "plain", "noexec", ["noexec", "!noexec"]),
  bind(proves("mount-option", "exec"), "strict", "exec", ["!noexec", "noexec"]),
  bind(proves("mount-option", "rnoexec"), "plain", "rnoexec", ["noexec", "noexec"]),
  bind(proves("mount-option", "rexec"), "strict", "rexec", ["!noexec", "!noexec"]),
  bind(proves("mount-option", "nodiratime"), "plain", "nodiratime", ["nodiratime", "!nodiratime"]),
  bind(proves("mount-option", "diratime"), "strict", "diratime", ["!nodiratime", "nodiratime"]),
  bind(proves("mount-option", "rnodiratime"), "plain", "rnodiratime", ["nodiratime", "nodiratime"]),
  bind(proves("mount-option", "rdiratime"), "strict", "rdiratime", ["!nodiratime", "!nodiratime"]),
  bind(proves("mount-option", "nosymfollow"), "plain", "nosymfollow", [
    "nosymfollow",
    "!nosymfollow",
  ]),
  bind(proves("mount-option", "symfollow"), "strict", "symfollow", ["!nosymfollow", "nosymfollow"]),
  bind(proves("mount-option", "rnosymfollow"), "plain", "rnosymfollow", [
    "nosymfollow",
    "nosymfollow",
  ]),
  bind(proves("mount-option", "rsymfollow"), "strict", "rsymfollow", [
    "!nosymfollow",
    "!nosymfollow",
  ]),
  bind(proves("mount-option", "noatime"), "plain", "noatime", ["noatime", "relatime"]),
  bind(proves("mount-option", "atime"), "strict", "atime", ["relatime", "noatime"]),
  bind(proves("mount-option", "rnoatime"), "plain", "rnoatime", ["noatime", "noatime"]),
  bind(proves("mount-option", "ratime"), "strict", "ratime", ["relatime", "relatime"]),
  bind(proves("mount-option", "relatime"), "strict", "relatime", ["relatime", "noatime"]),
  bind(proves("mount-option", "rrelatime"), "strict", "rrelatime", ["relatime", "relatime"]),
  // "strictatime" has no word in mountinfo: neither of the others is there.
  bind(proves("mount-option", "strictatime"), "plain", "strictatime", ["!relatime", "relatime"]),
  bind(proves("mount-option", "rstrictatime"), "plain", "rstrictatime", ["!relatime", "!relatime"]),
  bind(proves("mount-option", "nostrictatime"), "times", "nostrictatime", [
    "relatime",
    "!relatime",
  ]),
  bind(proves("mount-option", "rnostrictatime"), "times", "rnostrictatime", [
    "relatime",
    "relatime",
  ]),
  // The kernel's default is relatime: to turn it off leaves what is there, as mount(8) does.
  bind(proves("mount-option", "norelatime"), "times", "norelatime", ["!relatime", "!relatime"]),
  bind(proves("mount-option", "rnorelatime"), "strict", "rnorelatime", ["noatime", "noatime"]),
  bind(proves("mount-option", "defaults"), "plain", "defaults", ["rw", "rw"]),
];

/** Of a superblock: what shows after the file system's type. */
const systems: { row: string; type: string; options: string[]; has: string }[] = [
  { row: proves("mount-option", "sync"), type: "tmpfs", options: ["sync"], has: "sync" },
  { row: proves("mount-option", "async"), type: "tmpfs", options: ["sync", "async"], has: "!sync" },
  { row: proves("mount-option", "dirsync"), type: "tmpfs", options: ["dirsync"], has: "dirsync" },
  {
    row: proves("mount-option", "lazytime"),
    type: "tmpfs",
    options: ["lazytime"],
    has: "lazytime",
  },
  {
    row: proves("mount-option", "nolazytime"),
    type: "tmpfs",
    options: ["lazytime", "nolazytime"],
    has: "!lazytime",
  },
  { row: proves("mount-option", "mand"), type: "tmpfs", options: ["mand"], has: "mand" },
  {
    row: proves("mount-option", "nomand"),
    type: "tmpfs",
    options: ["mand", "nomand"],
    has: "!mand",
  },
  // Neither shows anywhere: they must be taken, and what stands beside them must be done.
  {
    row: proves("mount-option", "iversion"),
    type: "ramfs",
    options: ["iversion", "sync", "mode=700"],
    has: "sync",
  },
  {
    row: proves("mount-option", "noiversion"),
    type: "tmpfs",
    options: ["noiversion", "size=1m"],
    has: "size=1024k",
  },
  {
    row: proves("mount-option", "silent"),
    type: "ramfs",
    options: ["silent", "dirsync", "nosuid"],
    has: "dirsync",
  },
  {
    row: proves("mount-option", "loud"),
    type: "tmpfs",
    options: ["loud", "size=1m"],
    has: "size=1024k",
  },
];

function holds(words: readonly string[], wanted: string): boolean {
  return wanted.startsWith("!") ? !words.includes(wanted.slice(1)) : words.includes(wanted);
}

describe("gantry-runtime's mount options", { skip }, () => {
  let oci: OciFixture;
  let container: Started;
  let mounts: Map<string, MountInfo>;
  const at = (index: number, kind: "b" | "s") => `/opt/${kind}${index}`;
  before(async () => {
    oci = await OciFixture.make();
    for (const [name, attr] of Object.entries({ strict: STRICT, plain: 0, times: A.STRICTATIME })) {
      const folder = oci.path(name);
      await onHost(
        oci,
        ...hostTmpfs(folder),
        ...hostTmpfs(`${folder}/in`),
        ...[folder, `${folder}/in`].flatMap((path) => [
          { op: "open", path, flags: 0o10000000, to: 0 } as const,
          { op: "mountAttr", slot: 0, set: attr, clear: A.ATIME_MASK } as const,
        ]),
      );
    }
    container = await started(oci, (spec) => {
      spec.mounts!.push(
        ...binds.map(({ from, options }, index): OciMount => {
          return { destination: at(index, "b"), source: oci.path(from), options };
        }),
        ...systems.map(({ type, options }, index): OciMount => {
          return { destination: at(index, "s"), type, source: "made", options };
        }),
        { destination: "/opt/bind", source: oci.path("plain"), options: ["bind"] },
        { destination: "/opt/type", type: "bind", source: oci.path("plain") },
        { destination: "/opt/again", type: "tmpfs", source: "t", options: ["size=1m", "noexec"] },
        { destination: "/opt/again", type: "tmpfs", options: ["remount", "size=2m", "nosuid"] },
        { destination: "/opt/attr", source: oci.path("plain"), options: ["rbind", "nodev"] },
        { destination: "/opt/attr", options: ["remount", "bind", "ro"] },
        { destination: "/opt/ro", type: "tmpfs", source: "t", options: ["ro", "size=1m"] },
        { destination: "/opt/ro/in", source: oci.path("plain"), options: ["bind"] },
      );
    });
    mounts = await mountsOf(container.pid);
  });
  after(async () => {
    if (container) await removed(oci, container);
    const folders = ["strict", "plain", "times"].map((name) => oci.path(name));
    await onHost(oci, ...folders.flatMap((path) => [hostUmount(`${path}/in`), hostUmount(path)]));
    await oci[Symbol.asyncDispose]();
  });

  for (const [index, { row, from, options, top, beneath }] of binds.entries()) {
    test(`${options.join(",")} of a ${from} tree: ${top}, beneath it ${beneath} ${row}`, () => {
      const mount = mounts.get(at(index, "b"))!;
      const below = mounts.get(`${at(index, "b")}/in`)!;
      assert.ok(holds(mount.options, top), mount.options.join());
      assert.ok(holds(below.options, beneath), below.options.join());
    });
  }

  for (const [index, { row, type, options, has }] of systems.entries()) {
    test(`a ${type} with ${options.join(",")} has ${has} ${row}`, () => {
      const { superOptions, fstype, source } = mounts.get(at(index, "s"))!;
      assert.deepEqual([fstype, source], [type, "made"]);
      assert.ok(holds(superOptions, has), superOptions.join());
    });
  }

  test(`rbind brings what is mounted beneath, bind does not ${proves("mount-option", "bind", "rbind")}`, async () => {
    assert.ok(mounts.has("/opt/b0/in"));
    assert.ok(mounts.has("/opt/bind") && !mounts.has("/opt/bind/in"));
    assert.ok(mounts.has("/opt/type") && !mounts.has("/opt/type/in"));
    assert.equal(await inside(oci, container, "ls", "/opt/bind"), "in\n");
  });

  test(`remount changes the file system, with bind only the mount ${proves("mount-option", "remount")}`, () => {
    const again = mounts.get("/opt/again")!;
    assert.ok(again.superOptions.includes("size=2048k"));
    assert.ok(again.options.includes("nosuid") && !again.options.includes("noexec"));
    const attr = mounts.get("/opt/attr")!;
    assert.ok(attr.options.includes("ro") && !attr.options.includes("nodev"));
    assert.ok(attr.superOptions.includes("rw"));
  });

  test("a read-only mount refuses to be written; a tmpfs takes its mounts before it becomes one", async () => {
    const write = (path: string) => oci.call("exec", container.id, "write", path, "x");
    const readOnly = binds.findIndex(({ options }) => options.includes("rro"));
    for (const path of [`${at(readOnly, "b")}/in/f`, "/opt/ro/f"]) {
      assert.match((await write(path)).stderr, /Read-only file system/);
    }
    assert.equal((await write("/opt/ro/in/f")).code, 0);
    assert.ok(mounts.get("/opt/ro")!.options.includes("ro"));
  });
});
