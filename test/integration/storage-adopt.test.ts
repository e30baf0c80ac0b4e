// A step's upper folder becomes a layer as it is. What proves it right: the layer's folder is what
// unpacking its own tar gives, and the tar comes back byte by byte, whatever the step did.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { errnoOf } from "../../src/base/index.ts";
import {
  bytesOf,
  type StorageFixture,
  storageFixture,
  streamOf,
} from "../support/storage-fixture.ts";

let fixture: StorageFixture;
before(async () => {
  fixture = await storageFixture();
});
after(() => fixture.close());

/** Every file with all that a layer says of it; overlay's own marks too. */
const DESCRIBE = `
import os, stat, sys, hashlib
root = sys.argv[1].encode()
first = {}
def attrs(path):
    out = []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name.startswith("security.selinux"): continue
        out.append((name, os.getxattr(path, name, follow_symlinks=False)))
    return out
for folder, dirs, files in os.walk(root):
    dirs.sort()
    for name in sorted(dirs + files):
        path = os.path.join(folder, name)
        st = os.lstat(path)
        rel = path[len(root):]
        white = stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
        line = [rel, oct(0 if white else st.st_mode), st.st_uid, st.st_gid]
        if not white: line += [st.st_mtime_ns, attrs(path)]
        if stat.S_ISREG(st.st_mode):
            line += [st.st_nlink, first.setdefault(st.st_ino, rel)]
            line += [hashlib.sha256(open(path, "rb").read()).hexdigest()]
        if stat.S_ISLNK(st.st_mode): line.append(os.readlink(path))
        if stat.S_ISCHR(st.st_mode) and not white: line.append(st.st_rdev)
        print(line)
st = os.lstat(root)
print([oct(st.st_mode), st.st_uid, st.st_gid, attrs(root)])
`;
const describe = (dir: string): string =>
  execFileSync("python3", ["-c", DESCRIBE, dir], { encoding: "utf8" });

/** Runs a script in an overlay of its own mount namespace; returns the upper folder. */
function step(script: string): string {
  const dir = mkdtempSync(join(fixture.root, "../step-"));
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(dir, name));
  const prepare = `
    mkdir -p lower/etc/conf.d lower/gone/deep lower/opaque lower/kept
    echo old > lower/etc/passwd; echo x > lower/gone/deep/file; echo y > lower/opaque/inside
    echo z > lower/kept/file; ln -s /etc/passwd lower/kept/link; echo two > lower/kept/second`;
  const options = "lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off";
  const mount = `mount -t overlay -o ${options} overlay merged`;
  const all = `set -e; cd ${dir}; ${prepare}; ${mount}; cd merged; ${script}`;
  execFileSync("unshare", ["-m", "sh", "-c", all]);
  return join(dir, "upper");
}

async function adopted(script: string): Promise<{ tar: Buffer; moved: boolean }> {
  const { layers } = fixture.storage;
  const upper = step(script);
  const layer = await layers.adopt(upper);
  const moved = !existsSync(upper);
  const tar = await bytesOf(await layers.tar(layer.diffId));
  assert.equal(`sha256:${createHash("sha256").update(tar).digest("hex")}`, layer.diffId);
  const own = describe(layer.dir);
  await layers.replace(layer.diffId, streamOf(tar));
  const unpacked = layers.get(layer.diffId)!;
  assert.equal(own, describe(unpacked.dir));
  assert.equal(unpacked.size, layer.size);
  assert.equal(unpacked.tarSize, layer.tarSize);
  return { tar, moved };
}

test("a step's folder is what its own tar unpacks to", async () => {
  const { moved } = await adopted(`
    echo new >> etc/passwd; chown 1:2 etc/passwd; mkdir -p new/a/b; echo hi > new/a/file
    ln new/a/file new/same; ln -s nowhere new/link; mkfifo new/pipe; mknod new/null c 1 3
    rm -r gone; rm -r opaque; mkdir opaque; echo own > opaque/mine; rm kept/second
    mv kept/link kept/moved; chmod 4755 new/a/file; head -c 700001 /dev/urandom > new/big
    truncate -s 3M new/hole; touch new/empty; chmod 700 . ; mkdir "new/ü $(printf %0120d 7)"
    python3 -c 'import os; os.setxattr("new/big", "user.note", b"v"); os.utime("new/a", (1, 1.5))
os.setxattr("new/link", "trusted.note", b"v", follow_symlinks=False)'
    chown 12345678:7 new/empty; touch -d 1960-01-01 new/empty`);
  assert(moved, "the folder was copied");
});

test("sockets of a step are no part of its layer", async () => {
  await adopted(`mkdir run; touch run/file; touch -d 2001-02-03 run/file
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("run/socket")'
    touch -d 2001-02-03 run`);
});

test("a file that is named like a whiteout makes the layer that its tar says", async () => {
  const { moved } = await adopted("mkdir dir; touch dir/.wh.name dir/other");
  assert(!moved);
});

test("a step that changes nothing has the layer of an empty tar, once", async () => {
  const { layers } = fixture.storage;
  const first = await layers.adopt(step("true"));
  const second = await layers.adopt(step("cat etc/passwd >/dev/null"));
  assert.equal(first.diffId, second.diffId);
  assert.equal((await bytesOf(await layers.tar(first.diffId))).length, 1024);
});

test("what cannot be a layer leaves nothing behind", async () => {
  const before = await fixture.names("layers");
  const { layers } = fixture.storage;
  await assert.rejects(layers.adopt("/nonexistent/upper"), (e) => errnoOf(e) === "ENOENT");
  const stop = AbortSignal.abort(new Error("stopped"));
  await assert.rejects(layers.adopt(step("touch file"), { signal: stop }));
  assert.deepEqual(await fixture.names("layers"), before);
});

test("a folder that was moved and not recorded goes at the next start", async () => {
  const { layers } = fixture.storage;
  const layer = await layers.adopt(step("echo unique-to-this-test > file"));
  const text = readFileSync(join(layer.dir, "file"), "utf8");
  assert.equal(text, "unique-to-this-test\n");
  mkdirSync(join(fixture.root, "layers/zzzz/diff"), { recursive: true });
  await fixture.storage.reconcile({ snapshotIds: new Set() });
  assert(!(await fixture.names("layers")).includes("zzzz"));
});
