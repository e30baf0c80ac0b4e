// relabelTree on the real kernel. Whether a file has the label is asked of the operation itself, on
// a read-only mount: what has it already is not written to, and anything else is EROFS.

import assert from "node:assert/strict";
import { mkdirSync, renameSync } from "node:fs";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { after, before, test } from "node:test";
import type { GantryError } from "../../src/base/index.ts";
import type { Operation, PlanFailure } from "../../src/native/index.ts";
import { NativeFixture, NEW } from "../support/native-fixture.ts";

let native: NativeFixture;
before(async () => {
  native = await NativeFixture.make();
});
after(() => native[Symbol.asyncDispose]());

const NAME = "trusted.gantry-label";
const REC_PRIVATE = 0x4000 | 0x40000;
const RDONLY = 1;

const relabel = (path: string, label = "a label"): Operation => ({
  ...{ op: "relabelTree", path, name: NAME },
  value: new TextEncoder().encode(label),
});
const readOnly = (path: string): Operation[] => [
  { op: "unshare", flags: NEW.ns },
  { op: "propagation", path: "/", flags: REC_PRIVATE },
  { op: "openTree", path, to: 1 },
  { op: "mountAttr", slot: 1, set: RDONLY },
  { op: "moveMount", slot: 1, path },
];
async function errnoOf(...host: Operation[]): Promise<string> {
  return await native.spawner.run({ host }).then(
    () => "",
    ({ detail }: GantryError) => (detail as unknown as PlanFailure).errno,
  );
}
const isLabelled = async (path: string): Promise<boolean> => {
  const errno = await errnoOf(...readOnly(path), relabel(path));
  assert.match(errno, /^(EROFS)?$/);
  return errno === "";
};

test("everything in a tree gets the label, and nothing that a link in it leads to", async () => {
  const [tree, outside] = [native.path("tree"), native.path("outside")];
  await mkdir(`${tree}/sub/deeper`, { recursive: true });
  await mkdir(outside);
  await writeFile(`${tree}/sub/file`, "");
  await writeFile(`${outside}/file`, "");
  await symlink(outside, `${tree}/sub/link`);
  await symlink(`${outside}/file`, `${tree}/link`);
  await symlink("/no/such/file", `${tree}/broken`);
  assert.equal(await isLabelled(tree), false);
  assert.equal(await errnoOf(relabel(tree)), "");
  assert.equal(await isLabelled(tree), true);
  for (const path of [outside, `${outside}/file`]) assert.equal(await isLabelled(path), false);
  // A file that came later is found, though the folders are right.
  await writeFile(`${tree}/sub/deeper/new`, "");
  assert.equal(await isLabelled(tree), false);
  assert.equal(await errnoOf(relabel(tree)), "");
  assert.equal(await isLabelled(tree), true);
});

test("a path that has become a link since it was resolved is refused", async () => {
  const [tree, outside] = [native.path("swapped"), native.path("target")];
  await mkdir(`${tree}/inner`, { recursive: true });
  await mkdir(`${outside}/inner`, { recursive: true });
  await rename(tree, `${tree}-away`);
  await symlink(outside, tree);
  assert.equal(await errnoOf(relabel(tree)), "ELOOP");
  assert.equal(await errnoOf(relabel(`${tree}/inner`)), "ELOOP");
  assert.equal(await isLabelled(outside), false);
});

test("a deep tree is labelled to the end, and one beyond every path is an error", async () => {
  const deep = native.path("deep");
  // Name by name from its end: no path of it is longer than the kernel takes.
  let top = native.path("level");
  mkdirSync(top);
  for (let i = 1; i < 2100; i++) {
    const outer = i === 2099 ? deep : native.path(`outer${i % 2}`);
    mkdirSync(outer);
    renameSync(top, `${outer}/d`);
    top = outer;
  }
  assert.equal(await errnoOf(relabel(deep)), "ENAMETOOLONG");
  const rest = native.path("rest");
  renameSync(deep + "/d".repeat(600), rest);
  assert.equal(await isLabelled(deep), true);
  assert.equal(await errnoOf(relabel(rest)), "");
  assert.equal(await isLabelled(rest), true);
  for (const path of [deep, rest]) assert.equal(await errnoOf({ op: "removeTree", path }), "");
});

test("a single file is labelled, and a file system without labels is passed over", async () => {
  const file = native.path("single");
  await writeFile(file, "");
  assert.equal(await errnoOf(relabel(file)), "");
  assert.equal(await isLabelled(file), true);
  assert.equal(await isLabelled(dirname(file)), false);
  assert.equal(await errnoOf(relabel("/proc/sys/kernel")), "");
  assert.equal(await errnoOf(relabel(native.path("none"))), "ENOENT");
});

test("what is mounted in the tree without labels does not end the walk", async () => {
  const tree = native.path("mounted");
  await mkdir(`${tree}/a`, { recursive: true });
  await mkdir(`${tree}/z`);
  const proc: Operation[] = [
    { op: "unshare", flags: NEW.ns },
    { op: "propagation", path: "/", flags: REC_PRIVATE },
    { op: "openTree", path: "/proc/sys/kernel", to: 1 },
    { op: "moveMount", slot: 1, path: `${tree}/a` },
  ];
  assert.equal(await errnoOf(...proc, relabel(tree)), "");
  assert.equal(await isLabelled(`${tree}/z`), true);
  assert.equal(await isLabelled(`${tree}/a`), false);
});
