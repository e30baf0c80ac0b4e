import assert from "node:assert/strict";
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

test("xz and bzip2 are refused with the remedy", async () => {
  const xz = Buffer.from("fd377a585a000000", "hex");
  await assert.rejects(decompress(inPieces(xz, 100)), /xz -d/);
  await assert.rejects(decompress(inPieces(Buffer.from("BZh91AY"), 100)), /bunzip2/);
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
