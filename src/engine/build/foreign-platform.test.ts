import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hostPlatform } from "../images/find.ts";
import { canRun } from "./foreign-platform.ts";

/** Is only asked on machines of arm64. */
const processor = { run: () => Promise.reject(new Error("no 32-bit programs")) };

/** As the kernel shows an entry: the magic's bytes 18 and 19 are an ELF file's machine. */
const entry = (machine: string, flags: string, state = "enabled") =>
  `${state}\ninterpreter /usr/bin/qemu\nflags: ${flags}\noffset 0\n` +
  `magic 7f454c460201010000000000000000000200${machine}\n` +
  "mask ffffffffffffff00fffffffffffffffffeffffff\n";

test("a platform runs where an emulator is registered that needs no file of the step", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-binfmt-"));
  try {
    const foreign = { os: "linux", architecture: "riscv64" };
    const register = (text: string) => writeFile(join(folder, "qemu-riscv64"), text);
    assert.equal(await canRun(foreign, processor, folder), false);
    await register(entry("f300", "OCF"));
    assert.equal(await canRun(foreign, processor, folder), true);
    await register(entry("f300", "OC"));
    assert.equal(await canRun(foreign, processor, folder), false);
    await register(entry("f300", "F", "disabled"));
    assert.equal(await canRun(foreign, processor, folder), false);
    await register(entry("1600", "F"));
    assert.equal(await canRun(foreign, processor, folder), false);
    await register("enabled\nflags: F\nmagic 7f\n");
    assert.equal(await canRun(foreign, processor, folder), false);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("this machine runs its own commands, and no other system's", async () => {
  assert.equal(await canRun(hostPlatform(), processor, "/nothing"), true);
  assert.equal(await canRun({ ...hostPlatform(), os: "windows" }, processor, "/nothing"), false);
});
