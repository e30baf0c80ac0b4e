import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { GZIP_BLOCK_BYTES, type GzipPoint, parallelGzip } from "./parallel-gzip.ts";

async function* pieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}
async function gather(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks));
}
/** Text-like and random parts in turn. */
function sample(size: number): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 50_000 < size; n++) {
    parts.push(n % 3 === 0 ? randomBytes(50_000) : Buffer.alloc(50_000, `line ${n}\n`));
  }
  return Buffer.concat(parts).subarray(0, size);
}

describe("parallelGzip", () => {
  for (const size of [0, 1, 70_000, GZIP_BLOCK_BYTES, GZIP_BLOCK_BYTES + 1, 5_300_000]) {
    test(`${size} bytes come back from one gzip member`, async () => {
      const data = sample(size);
      const zipped = await gather(parallelGzip(pieces(data, 65_521)));
      assert.ok(gunzipSync(zipped).equals(data));
    });
  }

  test("the output depends on the content alone, not on how it arrives", async () => {
    const data = sample(4_000_000);
    const [whole, small] = await Promise.all([
      gather(parallelGzip(pieces(data, data.length))),
      gather(parallelGzip(pieces(data, 4_099))),
    ]);
    assert.ok(whole.equals(small));
  });

  test("it goes on from any point with the same bytes", async () => {
    const data = sample(4_500_000);
    const points: GzipPoint[] = [];
    const whole = await gather(
      parallelGzip(pieces(data, 65_536), { onPoint: (p) => points.push(p) }),
    );
    assert.equal(points.length, 5);
    for (const from of points) {
      const rest = await gather(parallelGzip(pieces(data.subarray(from.input), 65_536), { from }));
      assert.ok(rest.equals(whole.subarray(from.output)), `from ${from.input}`);
    }
  });

  test("an error of the input is the error of the output", async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield sample(3_000_000);
      throw new Error("the disk is gone");
    }
    await assert.rejects(gather(parallelGzip(broken())), /the disk is gone/);
  });
});
