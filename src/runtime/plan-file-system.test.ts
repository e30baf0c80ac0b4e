import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../native/index.ts";
import type { OciMount } from "../spec/index.ts";
import { parseMountOptions } from "./mount-options.ts";
import { type FileSystemContext, fileSystemOperations } from "./plan-file-system.ts";

const context: FileSystemContext = {};

function operations(mount: Omit<OciMount, "destination">, o = context): Operation[] {
  const options = parseMountOptions(mount.options);
  return fileSystemOperations(o, { destination: "/m", ...mount }, { path: "/m", options });
}
const fsmount = (all: readonly Operation[]) => all.find(({ op }) => op === "fsmount");
const words = (all: readonly Operation[]) => {
  const found = fsmount(all);
  return found?.op === "fsmount" ? found.options : [];
};

test("a value that begins with @ is not taken for a slot", () => {
  const all = operations({ type: "btrfs", source: "@a", options: ["subvol=@home", "compress"] });
  assert.deepEqual(words(all), ["source=@@a", "subvol=@@home", "compress"]);
});

test("a subtype goes beside its file system's name", () => {
  assert.deepEqual(words(operations({ type: "fuse.sshfs", source: "x" })), [
    "source=x",
    "subtype=sshfs",
  ]);
});

test("with a mount label a file system is labelled, the kernel's interfaces are not", () => {
  const labelled = { ...context, mountLabel: "system_u:object_r:c:s0:c1,c2" };
  const tmpfs = operations({ type: "tmpfs", source: "t" }, labelled);
  assert.deepEqual(words(tmpfs), ["source=t", "context=system_u:object_r:c:s0:c1,c2"]);
  for (const type of ["proc", "sysfs", "mqueue"]) {
    assert.deepEqual(words(operations({ type, source: "s" }, labelled)), ["source=s"]);
  }
  // That of queues can be labelled only when it is there.
  const label = operations({ type: "mqueue" }, labelled).at(-1);
  assert.deepEqual(label, {
    ...{ op: "setXattr", root: 2, path: "/m", name: "security.selinux" },
    value: new TextEncoder().encode(labelled.mountLabel),
  });
});

test("the comma in a label parts no words of mount(2)", () => {
  const labelled = { ...context, mountLabel: "u:r:t:s0:c1,c2" };
  const [mount] = operations({ type: "ramfs", options: ["silent", "mode=1"] }, labelled);
  assert.ok(mount?.op === "mount" && mount.data === 'mode=1,context="u:r:t:s0:c1,c2"');
});

test("what the new mount API has no words for goes through mount(2), with its flags", () => {
  const lower = `lowerdir=${"/a".repeat(200)}`;
  const long = operations({ type: "overlay", options: [lower, "ro", "nosuid"] });
  assert.equal(fsmount(long), undefined);
  const mount = long.find(({ op }) => op === "mount");
  assert.ok(mount?.op === "mount" && mount.data === lower && (mount.flags ?? 0) === 1);
  const flags = operations({ type: "ramfs", options: ["iversion", "silent", "sync"] });
  const [classic] = flags;
  assert.ok(classic?.op === "mount" && classic.flags === ((1 << 23) | (1 << 15) | (1 << 4)));
  // tmpfs counts versions always, and its folder's mode is taken over only by the new API.
  assert.ok(fsmount(operations({ type: "tmpfs", options: ["iversion", "silent"] })));
  const tooLong = Array.from({ length: 40 }, (_, i) => `x${i}=${"y".repeat(250)}`);
  assert.throws(() => operations({ type: "ext4", options: ["silent", ...tooLong] }), /more than/);
});

test("a read-only tmpfs is writable until all is in it", () => {
  const found = fsmount(operations({ type: "tmpfs", options: ["ro", "rro", "nosuid"] }));
  assert.ok(found?.op === "fsmount" && found.attr === 2);
  assert.throws(() => operations({ type: "proc", options: ["tmpcopyup"] }), /tmpfs only/);
});

test("the kernel's file systems go where the folder was seen, whatever its name means later", () => {
  for (const type of ["proc", "sysfs"]) {
    const all = operations({ type });
    const open = all.find(({ op }) => op === "open");
    const move = all.find(({ op }) => op === "moveMount");
    assert.ok(open?.op === "open" && move?.op === "moveMount");
    assert.deepEqual([move.root, move.path], [open.to, ""]);
    assert.equal(all.filter(({ op }) => op === "close").length, 2);
  }
});
