import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { isArchive, isTarHeader } from "./file-content.ts";
import { readFrames } from "./frames.ts";
import { type TarFile, TarScanner } from "./tar-scanner.ts";
import { BLANK, contentEnd, fileHeader, tarEnd } from "./tar-writer.ts";

function scanned(tar: Buffer, chunkBytes: number): { files: TarFile[]; data: string } {
  const files: TarFile[] = [];
  const data: Buffer[] = [];
  const scanner = new TarScanner({ file: (file) => files.push(file), data: (c) => data.push(c) });
  for (let at = 0; at < tar.length; at += chunkBytes) {
    scanner.push(tar.subarray(at, at + chunkBytes));
  }
  scanner.end();
  return { files, data: Buffer.concat(data).toString() };
}

const FILES: TarFile[] = [
  { ...BLANK, name: "a", size: 3 },
  { ...BLANK, name: "folder", type: "5", mode: 0o755, uid: 1000, gid: 5 },
  { ...BLANK, name: `${"long/".repeat(40)}é\nname`, type: "2", link: "x".repeat(300) },
  { ...BLANK, name: "big", uid: 2 ** 31, mtime: "1700000000.5", mode: 0o4755, size: 513 },
  { ...BLANK, name: "null", type: "3", major: 1, minor: 3 },
  {
    ...BLANK,
    name: "cap",
    xattrs: [["SCHILY.xattr.security.capability", Buffer.from([0, 10, 61])]],
  },
];

function tarOf(files: readonly TarFile[]): Buffer {
  const parts = files.flatMap((file) => [
    fileHeader(file),
    Buffer.alloc(file.type === "0" ? file.size : 0, "x"),
    contentEnd(file.type === "0" ? file.size : 0),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

test("what is written is read again, in chunks of any size", () => {
  const tar = tarOf(FILES);
  for (const chunkBytes of [1, 7, 512, 513, 100_000]) {
    const { files, data } = scanned(tar, chunkBytes);
    assert.deepEqual(files, FILES);
    assert.equal(data, "x".repeat(516));
  }
});

test("a tar that was cut is an error", () => {
  const tar = tarOf(FILES);
  for (const at of [100, 512, 1024, tar.length - 1024]) {
    assert.throws(() => scanned(tar.subarray(0, at), 64), /unexpected EOF/);
  }
});

test("a tar is told from other bytes, compressed or not", async () => {
  const tar = tarOf(FILES);
  assert.equal(isTarHeader(tar), true);
  assert.equal(isTarHeader(Buffer.alloc(512)), false);
  assert.equal(isTarHeader(Buffer.from("x".repeat(600))), false);
  const { gzipSync, zstdCompressSync } = await import("node:zlib");
  for (const bytes of [tar, gzipSync(tar), zstdCompressSync(tar)]) {
    assert.equal(await isArchive(Readable.from([bytes])), true);
  }
  for (const bytes of [gzipSync("text"), Buffer.from("text"), gzipSync(tar).subarray(0, 40)]) {
    assert.equal(await isArchive(Readable.from([bytes])), false);
  }
});

test("frames of output come apart wherever their chunks were cut", async () => {
  const frame = (stream: number, text: string) => {
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(text.length, 4);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const bytes = Buffer.concat([frame(1, "one"), frame(2, ""), frame(2, "two!"), frame(1, "x")]);
  for (const size of [1, 3, 9, 100]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
      bytes.subarray(n * size, (n + 1) * size),
    );
    const texts = { stdout: "", stderr: "" };
    for await (const { name, data } of readFrames(Readable.from(chunks))) texts[name] += data;
    assert.deepEqual(texts, { stdout: "onex", stderr: "two!" });
  }
});
