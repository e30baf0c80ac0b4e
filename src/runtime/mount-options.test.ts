import assert from "node:assert/strict";
import { test } from "node:test";
import { MOUNT_ATTR, MS } from "./kernel-numbers.ts";
import { parseMountOptions, remountAttributes, superblockFlags } from "./mount-options.ts";
import { parseMountinfo } from "./mountinfo.ts";
import { cpuMask, parseCpuList } from "./number-list.ts";

test("options are told apart: attributes, propagation, binds and the file system's own", () => {
  const o = parseMountOptions(["rbind", "ro", "nosuid", "rslave", "size=1m", "mode=755"]);
  assert.equal(o.bind && o.recursiveBind, true);
  assert.equal(o.set, MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID);
  assert.deepEqual(o.propagations, [{ type: MS.SLAVE, recursive: true }]);
  assert.deepEqual(o.data, ["size=1m", "mode=755"]);
  assert.equal(o.readonly, true);
});

test("a later option overrides an earlier one", () => {
  const o = parseMountOptions(["noexec", "nosuid", "nodev", "exec", "dev", "ro", "rw"]);
  assert.equal(o.set, MOUNT_ATTR.NOSUID);
  assert.equal(o.readonly, false);
});

test("access times exclude one another, and clearing one clears the whole field", () => {
  const o = parseMountOptions(["noatime", "strictatime"]);
  assert.equal(o.set, MOUNT_ATTR.STRICTATIME);
  assert.equal(o.clear & MOUNT_ATTR.ATIME_MASK & ~o.set, MOUNT_ATTR.ATIME_MASK & ~o.set);
});

test("recursive attributes stay apart from those of the one mount", () => {
  const o = parseMountOptions(["rbind", "rro", "rnosuid", "rprivate"]);
  assert.equal(o.set, 0);
  assert.equal(o.recursiveSet, MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID);
  assert.equal(o.readonly, true);
});

test("propagations keep their order, data is split at commas, flags of superblocks are told apart", () => {
  const o = parseMountOptions([
    "rslave",
    "shared",
    "size=1m,mode=700",
    "sync",
    "async",
    "lazytime",
  ]);
  assert.deepEqual(o.propagations, [
    { type: MS.SLAVE, recursive: true },
    { type: MS.SHARED, recursive: false },
  ]);
  assert.deepEqual(o.data, ["size=1m", "mode=700"]);
  assert.deepEqual(superblockFlags(o), ["lazytime"]);
  assert.deepEqual(parseMountOptions(["lowerdir=/a\\,b"]).data, ["lowerdir=/a\\,b"]);
  assert.deepEqual(parseMountOptions(["__proto__", "rtoString"]).data, ["__proto__", "rtoString"]);
});

test("a remount sets every attribute but times, as mount(2) does", () => {
  const { set, clear } = remountAttributes(parseMountOptions(["remount", "bind", "nosuid"]));
  assert.equal(set, MOUNT_ATTR.NOSUID);
  assert.equal(clear & MOUNT_ATTR.RDONLY, MOUNT_ATTR.RDONLY);
  assert.equal(clear & MOUNT_ATTR.ATIME_MASK, 0);
});

test("mountinfo's escapes and optional fields are read", () => {
  const [mount] = parseMountinfo(
    "36 35 98:0 /a\\040b /mnt\\011x rw,noatime shared:1 master:2 - ext4 /dev/root rw,errors=x\n",
  );
  assert.equal(mount?.root, "/a b");
  assert.equal(mount?.path, "/mnt\tx");
  assert.deepEqual(mount?.tags, ["shared:1", "master:2"]);
  assert.equal(mount?.fstype, "ext4");
});

test("cpu lists become masks of whole longs", () => {
  assert.deepEqual(parseCpuList("0-2,5"), [0, 1, 2, 5]);
  assert.deepEqual([...cpuMask("0,9")], [1, 2, 0, 0, 0, 0, 0, 0]);
  for (const bad of ["", "a", "3-1", "1,,2", "99999"]) {
    assert.throws(() => parseCpuList(bad), /invalid cpu list/);
  }
});
