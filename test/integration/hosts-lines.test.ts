// /etc/hosts of a running container, which the container may write to as it likes.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { changeLines } from "../../src/engine/containers/hosts-lines.ts";

const HUGE = 2 ** 40;
let folder: string;
let path: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-hosts-"));
  path = join(folder, "hosts");
});
after(() => rm(folder, { recursive: true }));

test("lines are changed in the file that is mounted, and others stay", async () => {
  await writeFile(path, "127.0.0.1\tlocalhost\n10.0.0.2\tdb\n# its own\n");
  const { ino } = await stat(path);
  await changeLines(path, (lines) => lines.filter((line) => !line.endsWith("\tdb")));
  assert.equal(await readFile(path, "utf8"), "127.0.0.1\tlocalhost\n# its own\n");
  await changeLines(path, (lines) => [...lines, "10.0.0.3\tdb"]);
  assert.equal(await readFile(path, "utf8"), "127.0.0.1\tlocalhost\n# its own\n10.0.0.3\tdb\n");
  assert.equal((await stat(path)).ino, ino);
});

test("a file that a container has made huge is neither read nor written", async () => {
  await writeFile(path, "\n".repeat((1 << 20) + 1));
  await truncate(path, HUGE); // has no blocks
  const work = changeLines(path, () => assert.fail("it was read"));
  await assert.rejects(work, { kind: "exhausted" });
  assert.equal((await stat(path)).size, HUGE);
});

test("a file that is no more is not made", async () => {
  await rm(path);
  await assert.rejects(
    changeLines(path, (lines) => lines),
    { code: "ENOENT" },
  );
  await assert.rejects(stat(path), { code: "ENOENT" });
});
