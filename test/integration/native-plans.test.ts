// Plans run for real by a worker: results, failures with their text, teardown, deadlines, and the
// guarantees about paths. What needs namespaces makes its own (unshare in the plan).

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { lstat, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { GantryError } from "../../src/base/index.ts";
import type { Operation, PlanFailure } from "../../src/native/index.ts";
import { DEADLINE_MS } from "../support/deadline.ts";
import { NativeFixture, NEW, openPath } from "../support/native-fixture.ts";

let native: NativeFixture;
before(async () => {
  native = await NativeFixture.make();
});
after(() => native[Symbol.asyncDispose]());

const MS_REC_PRIVATE = 0x44000;
const NEWNS_PRIVATE: Operation[] = [
  { op: "unshare", flags: NEW.ns },
  { op: "propagation", path: "/", flags: MS_REC_PRIVATE },
];
const bytes = (text: string) => new TextEncoder().encode(text);

async function failureOf(promise: Promise<unknown>): Promise<PlanFailure & { message: string }> {
  const error = await promise.then(
    () => assert.fail("the plan succeeded"),
    (reason: GantryError) => reason,
  );
  return { ...(error.detail as unknown as PlanFailure), message: error.message };
}

test("files are made, written, read, linked and removed", async () => {
  const root = native.path("files");
  const results = await native.spawner.run({
    host: [
      { op: "mkdirs", path: `${root}/a/b`, mode: 0o751 },
      { op: "touch", path: `${root}/a/empty`, mode: 0o640 },
      { op: "write", path: `${root}/a/b/f`, data: bytes("hello"), flags: 0o100, mode: 0o600 },
      { op: "symlink", target: "b/f", path: `${root}/a/link` },
      { op: "readFile", path: `${root}/a/link`, max: 100 },
      { op: "open", path: `${root}/a`, flags: openPath, to: 1 },
      { op: "stat", slot: 1 },
      { op: "chmod", root: 1, path: "b/f", mode: 0o4755 },
      { op: "chown", root: 1, path: "b/f", uid: 12, gid: 34 },
      { op: "mknod", root: 1, path: "null", mode: 0o020666, major: 1, minor: 3 },
      { op: "rename", from: `${root}/a/empty`, to: `${root}/a/renamed` },
      { op: "unlink", path: `${root}/a/gone`, missingOk: true },
      { op: "readFile", path: `${root}/missing`, max: 1, missingOk: true },
      { op: "memfd", name: "m", data: bytes("in memory"), to: 2 },
      { op: "stat", slot: 2 },
    ],
  });
  assert.equal(Buffer.from(results.bytes(4)).toString(), "hello");
  assert.equal(Number(results.ints(6)[2]! & 0o7777n), 0o751);
  assert.equal(results.ints(14)[5], 9n);
  assert.equal(results.has(12), false);
  const file = await lstat(`${root}/a/b/f`);
  assert.deepEqual([file.uid, file.gid], [12, 34]);
  assert((await lstat(`${root}/a/null`)).isCharacterDevice());
  assert((await lstat(`${root}/a/renamed`)).isFile());
  await native.spawner.run({ host: [{ op: "removeTree", path: root }] });
  assert.equal(existsSync(root), false);
});

test("a path beneath a root never leaves it, whatever links say", async () => {
  const root = native.path("jail");
  await mkdir(`${root}/inside`, { recursive: true });
  await symlink("/", `${root}/top`);
  await symlink("../../../../..", `${root}/inside/up`);
  await symlink("/nowhere/deep", `${root}/dangling`);
  await symlink("/proc/self/root", `${root}/magic`);
  await native.spawner.run({
    host: [
      { op: "open", path: root, flags: openPath, to: 1 },
      { op: "mkdirs", root: 1, path: "top/one", mode: 0o755 },
      { op: "mkdirs", root: 1, path: "inside/up/two", mode: 0o755 },
      { op: "mkdirs", root: 1, path: "../../three", mode: 0o755 },
      { op: "mkdirs", root: 1, path: "dangling/four", mode: 0o755 },
    ],
  });
  for (const name of ["one", "two", "three", "nowhere/deep/four"]) {
    assert(existsSync(`${root}/${name}`), name);
  }
  const magic = native.spawner.run({
    host: [
      { op: "open", path: root, flags: openPath, to: 1 },
      { op: "open", root: 1, path: "magic/etc", flags: openPath, to: 2 },
    ],
  });
  assert.equal((await failureOf(magic)).index, 1);
});

test("a failure names the operation, its text, and what teardown could not do", async () => {
  const path = native.path("torn");
  const failure = await failureOf(
    native.spawner.run({
      host: [
        { op: "mkdir", path, mode: 0o755 },
        { op: "mkdir", path: "/no/such/folder", mode: 0o755 },
      ],
      teardown: [
        { op: "rmdir", path: native.path("never-was") },
        { op: "rmdir", path },
        { op: "rmdir", path: native.path("nor-this"), missingOk: true },
      ],
    }),
  );
  assert.deepEqual(
    [failure.half, failure.index, failure.errno, failure.operation?.op],
    ["host", 1, "ENOENT", "mkdir"],
  );
  assert.match(failure.message, /Failed to mkdir: .*\/no\/such\/folder.* \(ENOENT\)/);
  assert.deepEqual(failure.teardown, [{ index: 0, errno: "ENOENT" }]);
  assert.equal(existsSync(path), false);
});

test("mounts are made detached, moved into place and gone with their namespace", async () => {
  const target = native.path("mnt");
  const results = await native.spawner.run({
    host: [
      ...NEWNS_PRIVATE,
      { op: "fsmount", fstype: "tmpfs", options: ["size=64k", "mode=0700"], attr: 2, to: 1 },
      { op: "moveMount", slot: 1, path: target, make: "dir" },
      { op: "write", path: `${target}/x`, data: bytes("y"), flags: 0o100, mode: 0o644 },
      { op: "openTree", path: target, to: 2 },
      { op: "mountAttr", slot: 2, set: 1 },
      { op: "moveMount", slot: 2, path: native.path("mnt-file-parent/sub"), make: "dir" },
      { op: "readFile", path: "/proc/self/mountinfo", max: 1 << 20 },
    ],
  });
  const mountinfo = Buffer.from(results.bytes(8)).toString();
  assert.match(mountinfo, new RegExp(`${target} rw,nosuid`));
  assert.match(mountinfo, new RegExp(`${native.path("mnt-file-parent/sub")} ro,nosuid`));
  assert(!(await readFile("/proc/self/mountinfo", "utf8")).includes(target));
});

test("a mount that the kernel refuses fails with the kernel's own words", async () => {
  const failure = await failureOf(
    native.spawner.run({
      host: [{ op: "fsmount", fstype: "tmpfs", options: ["size=nonsense"], to: 1 }],
    }),
  );
  assert.equal(failure.errno, "EINVAL");
  assert.match(failure.text, /size/);
});

test("masked and read-only paths are covered, and a false /dev/null is refused", async () => {
  const plan: Operation[] = [
    ...NEWNS_PRIVATE,
    { op: "open", path: "/dev/null", flags: 2, to: 1 },
    { op: "maskPath", path: "/proc/version", devNull: 1 },
    { op: "maskPath", path: "/proc/irq", devNull: 1 },
    { op: "maskPath", path: "/proc/not-there", devNull: 1 },
    { op: "readonlyPath", path: "/proc/sys" },
    { op: "readFile", path: "/proc/version", max: 10 },
  ];
  const results = await native.spawner.run({ host: plan });
  assert.equal(results.bytes(7).length, 0);
  const write: Operation = { op: "write", path: "/proc/sys/kernel/domainname", data: bytes("x") };
  const readOnly = await failureOf(native.spawner.run({ host: [...plan, write] }));
  assert(["EXDEV", "EROFS"].includes(readOnly.errno), readOnly.errno);
  const zero: Operation = { op: "open", path: "/dev/zero", flags: 2, to: 1 };
  const bad = [...NEWNS_PRIVATE, zero, plan[3]!];
  assert.equal((await failureOf(native.spawner.run({ host: bad }))).errno, "ENODEV");
});

test("an attribute is set on what a path leads to beneath the root", async () => {
  const folder = native.path("labelled");
  await mkdir(folder);
  await symlink("/", `${folder}/link`);
  const value = bytes("a label");
  const set = (path: string, name: string): Operation[] => [
    ...NEWNS_PRIVATE,
    { op: "fsmount", fstype: "tmpfs", options: [], to: 1 },
    { op: "moveMount", slot: 1, path: folder },
    { op: "open", path: folder, flags: openPath, to: 2 },
    { op: "setXattr", root: 2, path, name, value },
  ];
  await native.spawner.run({ host: set("/", "trusted.label") });
  const refused = await failureOf(native.spawner.run({ host: set("/", "none.such") }));
  assert.equal(refused.errno, "EOPNOTSUPP");
  assert.match(refused.message, /none\.such of \//);
  assert.equal(
    (await failureOf(native.spawner.run({ host: set("/x", "trusted.a") }))).errno,
    "ENOENT",
  );
});

test("a write to /proc is refused where something else is mounted over it", async () => {
  const failure = await failureOf(
    native.spawner.run({
      host: [
        ...NEWNS_PRIVATE,
        { op: "unshare", flags: NEW.uts },
        { op: "write", path: "/proc/sys/kernel/domainname", data: bytes("fine") },
        { op: "openTree", path: "/proc/sys/kernel/hostname", to: 1 },
        { op: "moveMount", slot: 1, path: "/proc/sys/kernel/domainname" },
        { op: "write", path: "/proc/sys/kernel/domainname", data: bytes("redirected") },
      ],
    }),
  );
  assert.deepEqual([failure.index, failure.errno], [6, "EXDEV"]);
});

test("a netlink batch makes interfaces in another namespace and reads their index", async () => {
  const results = await native.spawner.run({
    host: [
      { op: "unshare", flags: NEW.net },
      { op: "open", path: "/proc/self/ns/net", flags: 0, to: 1 },
      { op: "unshare", flags: NEW.net },
      { op: "netlink", protocol: 0, data: newBridge("b0"), netns: 1 },
      { op: "interfaceIndex", name: "b0", netns: 1, to: 2 },
      { op: "report", slot: 2 },
      { op: "netlink", protocol: 0, data: newBridge("b0"), netns: 1, ignore: 17 },
    ],
  });
  assert(results.ints(5)[0]! > 1n);
  const failure = await failureOf(
    native.spawner.run({
      host: [
        { op: "unshare", flags: NEW.net },
        { op: "netlink", protocol: 0, data: Buffer.concat([newBridge("b1"), newBridge("b1")]) },
      ],
    }),
  );
  assert.equal(failure.errno, "EEXIST");
  assert.match(failure.text, /netlink message 1/);
});

/** RTM_NEWLINK of kind bridge, with NLM_F_REQUEST|ACK|CREATE|EXCL. */
function newBridge(name: string): Buffer {
  const attribute = (type: number, data: Buffer) => {
    const out = Buffer.alloc(4 + Math.ceil(data.length / 4) * 4);
    out.writeUInt16LE(4 + data.length, 0);
    out.writeUInt16LE(type, 2);
    data.copy(out, 4);
    return out;
  };
  const kind = attribute(1, Buffer.from("bridge\0"));
  const attributes = [attribute(3, Buffer.from(`${name}\0`)), attribute(18, kind)];
  const body = Buffer.concat([Buffer.alloc(16), ...attributes]);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(16, 4);
  header.writeUInt16LE(0x605, 6);
  return Buffer.concat([header, body]);
}

test("a plan past its deadline fails, is torn down, and stalls nobody else", async () => {
  const path = native.path("slow");
  const fifo = native.path("fifo");
  const slow = native.spawner.run({
    deadlineMs: 300,
    host: [
      { op: "mkdir", path, mode: 0o755 },
      { op: "mknod", path: fifo, mode: 0o010600, major: 0, minor: 0 },
      { op: "open", path: fifo, flags: 0, to: 1 }, // waits for a writer that never comes
    ],
    teardown: [
      { op: "rmdir", path },
      { op: "unlink", path: fifo },
    ],
  });
  const failed = failureOf(slow);
  await Promise.all(
    Array.from({ length: 50 }, () => native.spawner.run({ host: [{ op: "umask", mode: 0 }] })),
  );
  const failure = await failed;
  assert.deepEqual([failure.index, failure.errno], [2, "ETIMEDOUT"]);
  assert.equal(existsSync(path), false);
});

test("an aborted plan is cancelled and torn down", async () => {
  const fifo = native.path("fifo2");
  const controller = new AbortController();
  const plan = native.spawner.run(
    {
      host: [
        { op: "mknod", path: fifo, mode: 0o010600, major: 0, minor: 0 },
        { op: "open", path: fifo, flags: 0, to: 1 },
      ],
      teardown: [{ op: "unlink", path: fifo }],
    },
    { signal: controller.signal },
  );
  while (!existsSync(fifo)) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  assert.equal((await failureOf(plan)).errno, "ECANCELED");
  assert.equal(existsSync(fifo), false);
});

test("bytes stream between a plan and TypeScript, claimed by a token", async () => {
  const wanted = native.spawner.openStream();
  const run = native.spawner.run({
    host: [
      { op: "connect", path: wanted.path, token: wanted.token, to: 1 },
      { op: "open", path: native.rootfs, flags: openPath, to: 2 },
      { op: "tar", root: 2, path: "dev", to: 1 },
    ],
  });
  const chunks: Buffer[] = [];
  for await (const chunk of await wanted.stream) chunks.push(chunk as Buffer);
  await run;
  assert.match(Buffer.concat(chunks).toString("latin1"), /dev\/.*ustar/s);
});

test("user namespaces can be made without a process, for id-mapped mounts", async () => {
  const source = native.path("owned");
  await mkdir(source);
  await writeFile(`${source}/f`, "");
  const results = await native.spawner
    .run({
      host: [
        ...NEWNS_PRIVATE,
        { op: "makeUserns", uidMap: "0 1000 10", gidMap: "0 1000 10", to: 1 },
        { op: "fsmount", fstype: "tmpfs", options: [], to: 2 },
        { op: "mountAttr", slot: 2, userns: 1 },
        { op: "touch", root: 2, path: "f", mode: 0o644 },
        { op: "reportInode", slot: 1 },
      ],
    })
    .catch((error: GantryError) => error);
  if (results instanceof Error) {
    // The user 0 of this process has no id in the mapped mount: the kernel says EOVERFLOW. Before
    // Linux 6.3 a tmpfs takes no map.
    assert.match(String(results.detail["errno"]), /^(EOVERFLOW|EINVAL)$/);
  }
});

test("plans that are no plans are refused before anything happens", async () => {
  const impossible = [
    { op: "mkdir", path: "a\0b", mode: 0 },
    { op: "close", slot: 64 },
    { op: "mkdir", mode: 0o755 },
  ] as unknown as Operation[];
  for (const operation of impossible) {
    await assert.rejects(native.spawner.run({ host: [operation] }), { kind: "invalid" });
  }
});

test("ids that 32 bits do not hold are refused, not cut to root's", async () => {
  for (const id of [2 ** 32, 2 ** 32 - 1, -1]) {
    for (const operation of [
      { op: "setuid", uid: id },
      { op: "setgid", gid: id },
      { op: "setgroups", gids: [1, id] },
    ] as const) {
      const { errno } = await failureOf(native.spawner.run({ host: [operation] }));
      assert.equal(errno, "EINVAL", `${operation.op} ${id}`);
    }
  }
});

test("an answer of many megabytes arrives whole", async () => {
  const path = native.path("big");
  const content = Buffer.alloc(9_000_000, "0123456789abcdef");
  await writeFile(path, content);
  const results = await native.spawner.run({ host: [{ op: "readFile", path, max: 10_000_000 }] });
  assert(content.equals(results.bytes(0)));
  const failure = native.spawner.run({ host: [{ op: "readFile", path, max: 1000 }] });
  assert.equal((await failureOf(failure)).errno, "E2BIG");
});

test("a tree of any depth is removed, links in it are not followed", async () => {
  const root = native.path("deep");
  await mkdir(`${root}/wide/a`, { recursive: true });
  await writeFile(native.path("kept"), "kept");
  await symlink(native.path("kept"), `${root}/wide/link`);
  const host: Operation[] = [];
  for (let i = 0; i < 20; i++) {
    // Each step opens where the last one ended: the whole path would be too long for a call.
    host.push({ op: "mkdirs", root: i % 2, path: "d/".repeat(100), mode: 0o755 });
    host.push({
      op: "open",
      root: i % 2,
      path: "d/".repeat(100),
      flags: openPath,
      to: 1 - (i % 2),
    });
  }
  await native.spawner.run({
    host: [
      { op: "open", path: root, flags: openPath, to: 0 },
      ...host,
      { op: "removeTree", path: root },
    ],
    deadlineMs: DEADLINE_MS,
  });
  assert.equal(existsSync(root), false);
  assert.equal(await readFile(native.path("kept"), "utf8"), "kept");
  await native.spawner.run({ host: [{ op: "removeTree", path: root, missingOk: true }] });
});
