import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompress, detectCompression, peek } from "./compression.ts";

const text = Buffer.from("some text that is longer than a head ".repeat(1000));

async function all(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
const inPieces = (data: Uint8Array, bytes: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(data.length / bytes) }, (_, n) =>
      data.subarray(n * bytes, (n + 1) * bytes),
    ),
    { objectMode: false },
  );

test("what is compressed is told by its first bytes", () => {
  assert.equal(detectCompression(gzipSync(text)), "gzip");
  assert.equal(detectCompression(zstdCompressSync(text)), "zstd");
  assert.equal(detectCompression(Buffer.from("BZh91AY")), "bzip2");
  assert.equal(detectCompression(Buffer.from([0x5f, 0x2a, 0x4d, 0x18])), "zstd");
  assert.equal(detectCompression(text), "none");
  assert.equal(detectCompression(Buffer.alloc(0)), "none");
});

test("streams of every kind give their plain bytes, in whatever pieces they come", async () => {
  for (const data of [text, gzipSync(text), zstdCompressSync(text)]) {
    for (const bytes of [1, 7, 1000, 1 << 20]) {
      const source = inPieces(bytes === 1 ? data.subarray(0, data.length) : data, bytes);
      assert((await all((await decompress(source)).stream)).equals(text));
    }
  }
});

test("several members or frames in a row are one stream", async () => {
  for (const pack of [gzipSync, zstdCompressSync]) {
    const data = Buffer.concat([pack(text), pack(text)]);
    const { stream } = await decompress(inPieces(data, 999));
    assert((await all(stream)).equals(Buffer.concat([text, text])));
  }
});

test("an empty stream is empty", async () => {
  const { compression, stream } = await decompress(Readable.from([], { objectMode: false }));
  assert.equal(compression, "none");
  assert.equal((await all(stream)).length, 0);
});

const BZIP2 = Buffer.from(
  "QlpoOTFBWSZTWa+oWJAAAA7ZgAAQQAAQADZlwFAgACM/9VQZPU2p5CmAALdv3qmeFJQhKkuVIWtsXckU4UJCvqFiQA==",
  "base64",
);
const XZ = Buffer.from(
  "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AA4ABpdADQZSe6N6RHP0j6HSqIDg457wOcv9toQf6AAAAAADL18rAcViGEA" +
    "ATY5Vqyf9h+2830BAAAAAARZWg==",
  "base64",
);
const PLAIN = "hello bzip2 and xz\n".repeat(3);

test("bzip2, one stream or several, with whatever stands behind it", async () => {
  const plain = async (bytes: Buffer) =>
    (await all((await decompress(inPieces(bytes, 7))).stream)).toString();
  assert.equal(await plain(BZIP2), PLAIN);
  assert.equal(await plain(Buffer.concat([BZIP2, BZIP2])), PLAIN + PLAIN);
  assert.equal(await plain(Buffer.concat([BZIP2, Buffer.alloc(512)])), PLAIN);
  for (const cut of [4, 20, BZIP2.length - 8]) {
    await assert.rejects(plain(BZIP2.subarray(0, cut)), { kind: "corrupt" });
  }
  const wrong = Buffer.from(BZIP2);
  wrong[40]! ^= 0xff;
  await assert.rejects(plain(wrong), { kind: "corrupt" });
});

const noXz = spawnSync("xz", ["--version"]).status !== 0 && "needs xz";

test("xz, and an error where it is cut", { skip: noXz }, async () => {
  const plain = async (bytes: Buffer) =>
    (await all((await decompress(inPieces(bytes, 7))).stream)).toString();
  assert.equal(await plain(XZ), PLAIN);
  await assert.rejects(plain(XZ.subarray(0, 60)), { kind: "corrupt" });
});

test("a source is drained, not destroyed, when nobody wants the rest of it", async () => {
  const source = inPieces(text, 1000);
  const { stream } = await decompress(source);
  stream.destroy();
  await new Promise((resolve) => source.once("end", resolve));
  assert.equal(source.errored, null);
});

test("peeking takes nothing away, and errors come through", async () => {
  const { head, stream } = await peek(inPieces(text, 10), 25);
  assert(head.length >= 25 && text.subarray(0, head.length).equals(head));
  assert((await all(stream)).equals(text));
  const broken = Readable.from(
    (async function* () {
      yield text;
      throw new Error("cut off");
    })(),
    { objectMode: false },
  );
  await assert.rejects(async () => all((await peek(broken, 5)).stream), /cut off/);
});
