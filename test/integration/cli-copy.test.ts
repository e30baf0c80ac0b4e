// What `cp` unpacks at the caller's side comes from a container: its archive may be hostile.

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Header, pack } from "tar-stream";
import { extractTar } from "../../src/cli/copy/extract.ts";
import { packPath } from "../../src/cli/copy/pack.ts";

const root = mkdtempSync(join(tmpdir(), "gantry-copy-"));
after(() => rmSync(root, { recursive: true }));

let count = 0;
function freshFolder(): string {
  const folder = join(root, String(count++), "inside");
  mkdirSync(folder, { recursive: true });
  return folder;
}

function archive(
  ...entries: [Partial<Header> & { name: string }, string?][]
): AsyncIterable<Buffer> {
  const tar = pack();
  for (const [header, content] of entries) tar.entry(header as Header, content ?? "");
  tar.finalize();
  return tar as unknown as AsyncIterable<Buffer>;
}

test("a tree arrives with modes, times, links and content", async () => {
  const folder = freshFolder();
  const mtime = new Date(1_700_000_000_000);
  const bytes = await extractTar(
    archive(
      [{ name: "d/", type: "directory", mode: 0o500, mtime }],
      [{ name: "d/f", mode: 0o4755, mtime }, "hello"],
      [{ name: "d/l", type: "symlink", linkname: "f" }],
      [{ name: "d/h", type: "link", linkname: "d/f" }],
    ),
    folder,
  );
  assert.equal(bytes, 5);
  assert.equal(readFileSync(join(folder, "d/f"), "utf8"), "hello");
  assert.equal(statSync(join(folder, "d/f")).mode & 0o7777, 0o4755);
  assert.equal(statSync(join(folder, "d")).mode & 0o777, 0o500);
  assert.equal(statSync(join(folder, "d")).mtimeMs, mtime.getTime());
  assert.equal(readlinkSync(join(folder, "d/l")), "f");
  assert.equal(statSync(join(folder, "d/h")).ino, statSync(join(folder, "d/f")).ino);
});

test("names with .. are refused", async () => {
  const folder = freshFolder();
  await assert.rejects(
    extractTar(archive([{ name: "../evil" }, "x"]), folder),
    /leaves the folder/,
  );
  await assert.rejects(extractTar(archive([{ name: "a/../../evil" }, "x"]), folder), /leaves/);
  assert.equal(existsSync(join(folder, "../evil")), false);
});

test("an absolute name stays inside", async () => {
  const folder = freshFolder();
  await extractTar(archive([{ name: "/abs" }, "x"]), folder);
  assert.equal(readFileSync(join(folder, "abs"), "utf8"), "x");
});

test("nothing is written through a link that the archive brought along", async () => {
  const folder = freshFolder();
  const hostile = archive(
    [{ name: "l", type: "symlink", linkname: ".." }],
    [{ name: "l/evil" }, "x"],
  );
  await assert.rejects(extractTar(hostile, folder), /leads through a symbolic link/);
  assert.equal(existsSync(join(folder, "../evil")), false);
});

test("a link to a file outside is replaced, not followed", async () => {
  const folder = freshFolder();
  const outside = join(folder, "../outside");
  writeFileSync(outside, "mine");
  symlinkSync(outside, join(folder, "f"));
  await extractTar(archive([{ name: "f" }, "theirs"]), folder);
  assert.equal(readFileSync(outside, "utf8"), "mine");
  assert.equal(readFileSync(join(folder, "f"), "utf8"), "theirs");
});

test("a hard link cannot reach outside", async () => {
  const folder = freshFolder();
  const hostile = archive([{ name: "h", type: "link", linkname: "../../x" }]);
  await assert.rejects(extractTar(hostile, folder), /leaves the folder/);
});

test("a folder does not replace a file, nor a file a folder", async () => {
  const folder = freshFolder();
  writeFileSync(join(folder, "f"), "");
  mkdirSync(join(folder, "d"));
  await assert.rejects(
    extractTar(archive([{ name: "f/", type: "directory" }]), folder),
    /non-directory/,
  );
  await assert.rejects(
    extractTar(archive([{ name: "d" }, "x"]), folder),
    /cannot overwrite directory/,
  );
});

test("what is packed here unpacks the same, under another name", async () => {
  const source = freshFolder();
  mkdirSync(join(source, "sub"));
  writeFileSync(join(source, "sub/file"), "content", { mode: 0o640 });
  writeFileSync(join(source, "empty"), "");
  symlinkSync("sub/file", join(source, "link"));
  const target = freshFolder();
  const counted = { bytes: 0 };
  const tar = packPath(source, "renamed", { followLink: false, counted });
  await extractTar(tar as AsyncIterable<Buffer>, target);
  assert.equal(counted.bytes, 7);
  assert.equal(readFileSync(join(target, "renamed/sub/file"), "utf8"), "content");
  assert.equal(readlinkSync(join(target, "renamed/link")), "sub/file");
  assert.equal(statSync(join(target, "renamed/empty")).size, 0);
});
