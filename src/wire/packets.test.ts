import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { fsutil } from "../gen/buildkit/index.ts";
import { FrameReader, framed } from "./frames.ts";
import { goMode, unixMode } from "./modes.ts";
import { type FileStat, PacketWriter, readPacket } from "./packets.ts";

const KINDS = [0o100000, 0o040000, 0o120000, 0o010000, 0o140000, 0o020000, 0o060000];
const PLAIN = { noNullPrototype: true };
const file: fc.Arbitrary<FileStat> = fc.record(
  {
    path: fc.string({ minLength: 1 }),
    mode: fc.tuple(fc.constantFrom(...KINDS), fc.nat(0o7777)).map(([kind, bits]) => kind | bits),
    uid: fc.nat(0xffffffff),
    gid: fc.nat(0xffffffff),
    size: fc.maxSafeNat(),
    modifiedNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    linkname: fc.string(),
    devMajor: fc.nat(),
    devMinor: fc.nat(),
    xattrs: fc
      .array(fc.tuple(fc.string(), fc.uint8Array()))
      .map((pairs) => new Map(pairs.map(([name, value]) => [name, Buffer.from(value)]))),
  },
  PLAIN,
);
const parts = {
  type: fc.nat(4),
  id: fc.nat(0xffffffff),
  stat: fc.option(file, { nil: undefined }),
  data: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
};
const packet = fc.record(parts, PLAIN);

/** What lies in the frames. */
function unframed(frames: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  const reader = new FrameReader();
  reader.push(frames, (message) => messages.push(message));
  assert.equal(reader.isCut, false);
  return messages;
}

test("a name that is no UTF-8 is refused, not changed; the replacement character is one", () => {
  const writer = new PacketWriter();
  const facts = { mode: 0o100644, uid: 0, gid: 0, size: 0, modifiedNs: 0n, linkname: "" };
  const stat = { ...facts, path: "a\ufffd", devMajor: 0, devMinor: 0, xattrs: new Map() };
  writer.write({ type: 0, stat });
  const [message] = unframed(writer.take()) as [Buffer];
  assert.equal(readPacket(message).stat?.path, "a\ufffd");
  const at = message.indexOf("\ufffd");
  message.fill(0xff, at, at + 3);
  assert.throws(() => readPacket(message), /string field contains invalid UTF-8: "a/);
});

test("packets are read as they were written, whatever their size", () => {
  const large = fc.constantFrom(0, 100, 5000, 70_000, 300_000).map((size) => Buffer.alloc(size, 7));
  const some = fc.array(fc.oneof(packet, fc.record({ ...parts, data: large }, PLAIN)));
  fc.assert(
    fc.property(some, fc.boolean(), (packets, isOneByOne) => {
      const writer = new PacketWriter();
      const taken: Buffer[] = [];
      for (const one of packets) {
        writer.write(one);
        if (isOneByOne) taken.push(writer.take());
      }
      taken.push(writer.take());
      assert.equal(writer.length, 0);
      assert.deepEqual(unframed(Buffer.concat(taken)).map(readPacket), packets);
    }),
  );
});

test("packets are those of the generated messages, both ways", () => {
  fc.assert(
    fc.property(packet, ({ stat, ...rest }) => {
      const writer = new PacketWriter();
      writer.write({ ...rest, stat });
      const written = unframed(writer.take())[0]!;
      const known = fromBinary(fsutil.PacketSchema, written);
      assert.equal(known.stat?.path, stat?.path);
      assert.equal(known.stat?.modTime, stat?.modifiedNs);
      assert.equal(known.stat?.mode, stat && goMode(stat.mode));
      const again = toBinary(fsutil.PacketSchema, create(fsutil.PacketSchema, known));
      assert.deepEqual(readPacket(Buffer.from(again)), { ...rest, stat });
    }),
  );
});

test("modes are Go's and back", () => {
  assert.equal(goMode(0o040755), 0x80000000 + 0o755);
  assert.equal(goMode(0o104755), 0x800000 + 0o755);
  assert.equal(goMode(0o020666), 0x4000000 + 0x200000 + 0o666);
  assert.throws(() => unixMode(0x80000), /unknown kind/);
  assert.throws(() => unixMode(0x88000000), /unknown kind/);
});

test("bytes that are no packet are an error, never a crash", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        readPacket(Buffer.from(bytes));
      } catch (error) {
        assert.match((error as Error).message, /broken packet|unknown kind/);
      }
    }),
    { numRuns: 1000 },
  );
});

test("messages are the same however the stream is cut", () => {
  const chunks = fc.array(fc.nat({ max: 40 }), { minLength: 1 });
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), chunks, (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(framed));
      const reader = new FrameReader();
      const read: Buffer[] = [];
      let at = 0;
      for (let turn = 0; at < bytes.length; turn++) {
        const end = at + 1 + cuts[turn % cuts.length]!;
        reader.push(bytes.subarray(at, end), (message) => read.push(Buffer.from(message)));
        at = end;
      }
      assert.deepEqual(
        read.map((message) => [...message]),
        messages.map((message) => [...message]),
      );
      assert.equal(reader.isCut, false);
    }),
  );
});
