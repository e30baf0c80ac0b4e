import assert from "node:assert/strict";
import { test } from "node:test";
import { Cursor, encodeFrame, errnoName, FrameReader, frameType } from "./frames.ts";

test("frames come out of a stream however it is cut", () => {
  const frames = [
    encodeFrame(1, frameType.ok, Buffer.from("one")),
    encodeFrame(2, frameType.fail),
    encodeFrame(0xffff_ffff, frameType.exit, Buffer.alloc(1000, 7)),
  ];
  const whole = Buffer.concat(frames);
  for (const size of [1, 5, 13, 500, whole.length]) {
    const reader = new FrameReader();
    const seen: [number, number, number][] = [];
    for (let at = 0; at < whole.length; at += size) {
      for (const { id, type, payload } of reader.push(whole.subarray(at, at + size))) {
        seen.push([id, type, payload.length]);
      }
    }
    assert.deepEqual(seen, [
      [1, 16, 3],
      [2, 17, 0],
      [0xffff_ffff, 49, 1000],
    ]);
  }
});

test("what follows a frame is kept for whoever takes the stream over", () => {
  const reader = new FrameReader();
  reader.add(Buffer.concat([encodeFrame(1, frameType.ok), Buffer.from("raw")]));
  assert.equal(reader.next()?.type, frameType.ok);
  assert.equal(reader.rest().toString(), "raw");
  assert.equal(reader.rest().length, 0);
});

test("a frame or an answer that cannot be is an error, not a hang", () => {
  const reader = new FrameReader();
  assert.throws(() => reader.push(Buffer.alloc(12, 0xff)), { kind: "internal" });
  assert.throws(() => new Cursor(Buffer.from([1])).u32(), { kind: "internal" });
});

test("errnos have the names that people know", () => {
  assert.deepEqual([2, 11, 95, 116, 9999].map(errnoName), [
    "ENOENT",
    "EAGAIN",
    "EOPNOTSUPP",
    "ESTALE",
    "E9999",
  ]);
});
