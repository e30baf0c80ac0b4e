// The archive operations under AddressSanitizer and UBSan: whatever a tar says, they end with 0 or
// with an error, never with a fault; and what they accept comes back byte for byte.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { rawTar, seal } from "../support/raw-tar.ts";

const ROUNDS = 150;
const SEED = 20_261_121;
const repository = fileURLToPath(new URL("../..", import.meta.url));

let folder = "";
let harness = "";
let tree = "";
before(() => {
  folder = mkdtempSync(join(process.env["GANTRY_TEST_SCRATCH"] ?? tmpdir(), "storage-fuzz-"));
  harness = join(folder, "harness");
  const sources = readdirSync(join(repository, "native"))
    .filter((name) => /^archive-.*\.c$/.test(name))
    .map((name) => join("native", name));
  const flags = ["-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra", "-Werror"];
  const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const inputs = ["test/native/archive-harness.c", "native/sha256.c", ...sources];
  execFileSync("gcc", [...flags, ...sanitizers, ...inputs, "-o", harness], { cwd: repository });
  tree = makeTree();
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the harness; anything but success and a clean refusal is a fault. */
function run(args: string[], input: Uint8Array = Buffer.alloc(0)): { ok: boolean; out: Buffer } {
  const done = spawnSync(harness, args, { input, maxBuffer: 1 << 27, timeout: 120_000 });
  assert(done.status === 0 || done.status === 1, `${args[0]}: ${done.status} ${done.stderr}`);
  return { ok: done.status === 0, out: done.stdout };
}

/** A small generator with a seed (mulberry32), so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function makeTree(): string {
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "d"), { recursive: true });
  writeFileSync(join(tree, "a"), "hello".repeat(100));
  linkSync(join(tree, "a"), join(tree, "b"));
  symlinkSync("a", join(tree, "l"));
  writeFileSync(join(tree, "d", "x".repeat(150)), "q");
  writeFileSync(join(tree, "sparse"), "");
  truncateSync(join(tree, "sparse"), 100_000);
  writeFileSync(join(tree, "sparse"), "data", { flag: "a" });
  return tree;
}

function seeds(): Buffer[] {
  const tar = (...format: string[]) =>
    execFileSync("tar", [...format, "-b1", "-C", tree, "-cf", "-", "."], { maxBuffer: 1 << 24 });
  return [
    tar("--format=gnu", "--sparse"),
    tar("--format=posix", "--sparse"),
    tar("--format=posix", "--sparse", "--sparse-version=0.1"),
    tar("--format=posix", "--sparse", "--sparse-version=0.0"),
    rawTar(
      { name: "f", content: "1", pax: { "SCHILY.xattr.user.k": "v", mtime: "1.5" } },
      { name: "f", content: "22" },
      { name: ".wh.g", content: "" },
      { name: "d/.wh..wh..opq", content: "" },
      { name: "h", type: "1", link: "f" },
      { name: "d", content: "now a file" },
    ),
  ];
}

const FIELDS = [0, 100, 108, 116, 124, 125, 136, 156, 157, 257, 345, 386, 398, 482, 483];
const VALUES = [0, 0xff, 0x80, 0x37, 0x78, 0x2f, 0x2e, 0x0a];

/** Changes a few bytes, mostly in headers, and makes most checksums right again. */
function mutate(seed: Buffer, next: (below: number) => number): Buffer {
  const data = Buffer.from(seed);
  for (let n = next(6) + 1; n > 0; n--) {
    let at = next(data.length);
    if (next(10) < 7) at = at - (at % 512) + (next(2) ? FIELDS[next(FIELDS.length)]! : next(60));
    if (at < data.length) data[at] = next(3) ? VALUES[next(VALUES.length)]! : next(256);
  }
  for (let at = 0; at + 512 <= data.length; at += 512) {
    const isHeader = data.toString("latin1", at + 257, at + 262) === "ustar";
    if (isHeader && next(30) > 0) seal(data.subarray(at, at + 512));
  }
  return next(10) < 3 ? data.subarray(0, next(data.length)) : data;
}

test(`${ROUNDS} damaged archives are refused cleanly or come back byte for byte`, () => {
  const inputs = seeds();
  const next = random(SEED);
  const split = join(folder, "split");
  const root = join(folder, "root");
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const tar = mutate(inputs[next(inputs.length)]!, next);
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root);
    if (!run(["untar", root, "1", split, "10000000", "1000"], tar).ok) continue;
    accepted++;
    const { out } = run(["rebuild", root, split]);
    assert(out.equals(tar), `round ${round}: the rebuilt tar differs`);
  }
  assert(accepted > ROUNDS / 10, `only ${accepted} archives were accepted`);
});

test("a damaged split is refused cleanly", () => {
  const root = join(folder, "again");
  mkdirSync(root);
  const [seed] = seeds() as [Buffer];
  const split = join(folder, "split2");
  assert(run(["untar", root, "1", split], seed).ok);
  const good = execFileSync("cat", [split]);
  const next = random(SEED + 1);
  for (let round = 0; round < 60; round++) {
    const bad = Buffer.from(good);
    for (let n = next(3) + 1; n > 0; n--) bad[next(bad.length)] = next(256);
    writeFileSync(split, next(4) ? bad : bad.subarray(0, next(bad.length)));
    run(["rebuild", root, split]);
  }
});

test("writing, copying, measuring and comparing trees make no fault", () => {
  const copy = join(folder, "copy");
  mkdirSync(copy);
  assert(run(["copy", tree, copy, "64"]).ok);
  execFileSync("diff", ["-r", "--no-dereference", tree, copy]);
  assert(run(["size", tree]).ok);
  const { out } = run(["changes", copy, tree]);
  assert.equal(out.toString().match(/^[AD]/m), null);
  for (const args of [
    ["tar", tree, "d", "renamed", "0"],
    ["tar", tree, "/", "", "48"],
    ["upper", tree],
  ]) {
    const tar = run(args);
    assert(tar.ok);
    execFileSync("tar", ["-tf", "-"], { input: tar.out });
  }
});
