// What a machine of arm64 is to images and to programs: its own platform, and 32-bit arm beside it,
// whose system calls have numbers of their own in the filter.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { canRun, runnablePlatforms } from "../../../src/engine/build/foreign-platform.ts";
import { hostPlatform } from "../../../src/engine/images/find.ts";
import type { OciSpec } from "../../../src/spec/index.ts";
import { RuntimeFixture } from "../../support/runtime-fixture.ts";

const runtime = await RuntimeFixture.make();
after(() => runtime[Symbol.asyncDispose]());

const ELF_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const ADDRESS = 0x10000;

/** A program of 32-bit arm: one segment, these instructions. */
function armProgram(instructions: readonly number[]): Buffer {
  const start = ELF_BYTES + PROGRAM_HEADER_BYTES;
  const size = start + 4 * instructions.length;
  const file = Buffer.alloc(size);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(40, 18); // EM_ARM
  const words = [1, ADDRESS + start, ELF_BYTES, 0, 0x05000000]; // the last is EABI 5
  for (const [i, word] of words.entries()) file.writeUInt32LE(word, 20 + 4 * i);
  const halves = [ELF_BYTES, PROGRAM_HEADER_BYTES, 1];
  for (const [i, half] of halves.entries()) file.writeUInt16LE(half, 40 + 2 * i);
  const segment = [1, 0, ADDRESS, ADDRESS, size, size, 5, ADDRESS]; // PT_LOAD, readable, executable
  for (const [i, word] of segment.entries()) file.writeUInt32LE(word, ELF_BYTES + 4 * i);
  for (const [i, word] of instructions.entries()) file.writeUInt32LE(word, start + 4 * i);
  return file;
}

test("this machine is linux/arm64, and 32-bit arm runs here where the kernel says so", async () => {
  assert.deepEqual(hostPlatform(), { os: "linux", architecture: "arm64" });
  assert.equal(runtime.kernel.arch, "aarch64");
  const { spawner } = runtime.native;
  const arm = { os: "linux", architecture: "arm", variant: "v7" };
  assert.equal(await canRun(arm, spawner, "/nothing"), true);
  assert.equal(await canRun({ os: "linux", architecture: "amd64" }, spawner, "/nothing"), false);
  const names = (await runnablePlatforms(spawner)).map(({ architecture }) => architecture);
  assert.deepEqual(names.slice(0, 2).sort(), ["arm", "arm64"]);
});

test("a program of 32-bit arm runs beneath the default filter, which knows its calls", async () => {
  const clone = armProgram([
    0xe3a00201, // mov r0, #CLONE_NEWUSER
    0xe3a07078, // mov r7, #120 (clone)
    0xef000000, // svc 0
    0xe260002a, // rsb r0, r0, #42: 43 after EPERM
    0xe3a07001, // mov r7, #1 (exit)
    0xef000000,
  ]);
  await writeFile(join(runtime.native.rootfs, "bin/arm"), clone, { mode: 0o755 });
  const { exit } = await runtime.run(["/bin/arm"]);
  assert.equal(exit.code, 43);
});

test("a filter that does not name 32-bit arm kills its programs", async () => {
  await writeFile(join(runtime.native.rootfs, "bin/end"), armProgram([0xe3a07001, 0xef000000]), {
    mode: 0o755,
  });
  const free = await runtime.run(["/bin/end"]);
  assert.equal(free.exit.code, 0);
  const change = ({ linux }: OciSpec) => {
    linux!.seccomp = { ...linux!.seccomp!, architectures: ["SCMP_ARCH_AARCH64"] };
  };
  const { exit } = await runtime.run(["/bin/end"], { change });
  assert.equal(exit.signal, 31);
});
