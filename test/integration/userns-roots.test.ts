// Overlays over id-mapped layers on the real kernel, the ways in which older kernels take them
// included: what is root's on the disk is the namespace's root's, and the other way round.

import assert from "node:assert/strict";
import { lstat, mkdir, readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Operation } from "../../src/native/index.ts";
import type { KernelFeatures } from "../../src/runtime/contract.ts";
import { PlanBuilder } from "../../src/runtime/plan-builder.ts";
import { overlayOperations } from "../../src/runtime/plan-rootfs.ts";
import { kernelAtLeast } from "../../src/runtime/seccomp/docker-profile.ts";
import { NativeFixture } from "../support/native-fixture.ts";

const native = await NativeFixture.make();
after(() => native[Symbol.asyncDispose]());

const START = 300_000;
const map = [{ containerID: 0, hostID: START, size: 1000 }];
const idMaps = { uid: map, gid: map };
const ROOT = 2;

/** Layers beneath a folder; each has a file of its own and one that the layers above hide. */
async function layers(name: string, count: number, namePad = "") {
  const home = native.path(name);
  const lowerDirs: string[] = [];
  for (let i = 0; i < count; i++) {
    const dir = join(home, "layers", `${i}${namePad}`, "diff");
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, `own-${i}`), "");
    await writeFile(join(dir, "top"), `${i}\n`);
    lowerDirs.push(dir);
  }
  const [upperDir, workDir] = ["fs", "work"].map((leaf) => join(home, "containers/c", leaf));
  for (const dir of [upperDir!, workDir!]) await mkdir(dir, { recursive: true });
  return { kind: "overlay", lowerDirs, upperDir: upperDir!, workDir: workDir!, idMaps } as const;
}

async function check(rootfs: Awaited<ReturnType<typeof layers>>, kernel: Partial<KernelFeatures>) {
  const features = { arch: "x86_64", idmappedOverlay: true, ...kernel } as KernelFeatures;
  const mount = overlayOperations(new PlanBuilder(), rootfs, { kernel: features, to: ROOT });
  const last = rootfs.lowerDirs.length - 1;
  const files = ["/top", `/own-${last}`];
  const host: Operation[] = [
    ...mount,
    ...files.map((path): Operation => ({ op: "statPath", root: ROOT, path, follow: false })),
    { op: "fileIds", uid: START + 7, gid: START + 8 },
    { op: "mkdirs", root: ROOT, path: "/made", mode: 0o700 },
    { op: "fileIds", uid: 0, gid: 0 },
    { op: "chown", root: ROOT, path: "/top", uid: START + 5, gid: START + 6 },
    { op: "unlink", root: ROOT, path: `/own-${last}` },
  ];
  const results = await native.spawner.run({ host });
  for (const index of files.keys()) {
    const bytes = results.bytes(mount.length + index);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    assert.equal(Number(view.getBigInt64(24, true)), START);
  }
  const at = (name: string) => lstat(join(rootfs.upperDir, name));
  const [made, top, gone] = await Promise.all([at("made"), at("top"), at(`own-${last}`)]);
  assert.deepEqual([made.uid, made.gid, top.uid, top.gid], [7, 8, 5, 6]);
  assert.ok(gone.isCharacterDevice() && gone.rdev === 0, "a whiteout");
  assert.equal(await readFile(join(rootfs.upperDir, "top"), "utf8"), "0\n");
  assert.equal((await lstat(join(rootfs.lowerDirs[0]!, "top"))).uid, 0);
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  assert.ok(!mountinfo.includes(native.root), "nothing is left in the host's mounts");
}

const oneByOne = kernelAtLeast(release(), "6.5") ? false : "Linux 6.5 has it first";

test("layers one by one, as kernels from 6.5 on take them", { skip: oneByOne }, async () => {
  await check(await layers("new", 5), { overlayLowerdirAppend: true });
});

test("a short list in one option, as older kernels take it", async () => {
  await check(await layers("short", 2), { overlayLowerdirAppend: false });
});

test("a long list by mount(2), as older kernels take it", async () => {
  const rootfs = await layers("long", 20, "-a-layer-with-a-long-name");
  assert.ok(rootfs.lowerDirs.join(":").length > 1000);
  await check(rootfs, { overlayLowerdirAppend: false });
});
