import assert from "node:assert/strict";
import { test } from "node:test";
import { handles } from "./binfmt.ts";
import { goodGuess } from "./good-guess.ts";
import { killsProcess } from "./host-oom.ts";
import { readProgram } from "./program.ts";
import { contentOf } from "./read-head.ts";

/** A 64-bit little-endian ELF file with one program header, that of a loader. */
function elf(machine: number, loader = ""): Buffer {
  const file = Buffer.alloc(512);
  file.writeUInt32BE(0x7f454c46, 0);
  file[4] = 2;
  file[5] = 1;
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(loader === "" ? 0 : 1, 56);
  file.writeUInt32LE(3, 64);
  file.writeBigUInt64LE(256n, 64 + 8);
  file.writeBigUInt64LE(BigInt(loader.length + 1), 64 + 32);
  file.write(`${loader}\0`, 256);
  return file;
}

test("an ELF file tells its machine and its loader", () => {
  assert.deepEqual(readProgram(elf(62, "/lib64/ld-linux-x86-64.so.2")), {
    kind: "elf",
    architecture: "amd64",
    loader: "/lib64/ld-linux-x86-64.so.2",
  });
  assert.deepEqual(readProgram(elf(183)), { kind: "elf", architecture: "arm64" });
  assert.deepEqual(readProgram(elf(999)), { kind: "elf", architecture: "machine 999" });
});

test("headers that lead outside of what was read leave the machine known", () => {
  const hostile = elf(62, "/lib/ld.so");
  hostile.writeBigUInt64LE(2n ** 63n, 32);
  assert.deepEqual(readProgram(hostile), { kind: "elf", architecture: "amd64" });
  const endless = elf(62, "/lib/ld.so");
  endless.writeUInt16LE(0, 54);
  endless.writeUInt16LE(65_535, 56);
  assert.equal(readProgram(endless).kind, "elf");
  for (let length = 1; length < 120; length++) readProgram(elf(62, "/x").subarray(0, length));
});

test("a script tells its interpreter, and whether its lines end as those of Windows", () => {
  const script = (text: string) => readProgram(Buffer.from(text));
  const expected = { kind: "script", interpreter: "/bin/sh", carriageReturn: false };
  assert.deepEqual(script("#!/bin/sh\n"), expected);
  assert.deepEqual(script("#! /bin/sh -e\necho"), expected);
  assert.deepEqual(script("#!/bin/sh\r\n"), { ...expected, carriageReturn: true });
  assert.deepEqual(script("echo hi\n"), { kind: "text" });
  assert.deepEqual(script(""), { kind: "empty" });
  assert.deepEqual(script("MZ\0\0"), { kind: "unknown" });
});

test("a handler of binfmt_misc is known by the machine in its magic", () => {
  const magic = `7f454c46${"020101".padEnd(28, "0")}b700`;
  const handler = `enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: \noffset 0\nmagic ${magic}\n`;
  assert.equal(handles(handler, "arm64"), true);
  assert.equal(handles(handler, "arm"), false);
  assert.equal(handles(handler.replace("enabled", "disabled"), "arm64"), false);
});

test("the content of the first file of a tar is found behind extended headers", () => {
  const header = (type: string, size: number) => {
    const block = Buffer.alloc(512);
    block.write(size.toString(8).padStart(11, "0"), 124);
    block.write(type, 156);
    return block;
  };
  const extended = Buffer.alloc(512, "x");
  const content = Buffer.alloc(512);
  content.write("hello");
  const tar = Buffer.concat([header("x", 20), extended, header("0", 5), content]);
  assert.equal(contentOf(tar).toString(), "hello");
  assert.equal(contentOf(Buffer.concat([header("5", 0)])).length, 0);
  assert.equal(contentOf(tar.subarray(0, 300)).length, 0);
});

test("only a likely name is suggested", () => {
  const names = ["touch", "ash", "bash", "ls", "python3"];
  assert.equal(goodGuess("pyton3", names), "python3");
  assert.equal(goodGuess("nosuch", names), undefined);
  assert.equal(goodGuess("sl", names), "ls");
});

test("the kernel's message about another process is not taken for this one", () => {
  const text = "3,1,2,-;Out of memory: Killed process 123 (java) total-vm:1kB";
  assert.equal(killsProcess(text, 123), true);
  assert.equal(killsProcess(text, 12), false);
});
