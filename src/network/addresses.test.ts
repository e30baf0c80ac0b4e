import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressBytes,
  bytesAddress,
  contains,
  formatAddress,
  formatSubnet,
  macOfAddress,
  overlaps,
  parseAddress,
  parseSubnet,
  subnetOf,
} from "./addresses.ts";

test("addresses survive parsing and formatting, and agree with Node on what is one", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 20 })), (text) => {
      const parsed = parseAddress(text);
      assert.equal(parsed?.family ?? 0, isIP(text.split("%")[0] === text ? text : ""));
      if (!parsed) return;
      const short = formatAddress(parsed.family, parsed.value);
      assert.deepEqual(parseAddress(short), parsed);
      assert.equal(bytesAddress(addressBytes(text)), short);
    }),
  );
});

test("IPv6 is written in its shortest form", () => {
  const shortest = (text: string) => formatAddress(6, parseAddress(text)!.value);
  assert.equal(shortest("0:0:0:0:0:0:0:0"), "::");
  assert.equal(shortest("fd00:0:0:1:0:0:0:2"), "fd00:0:0:1::2");
  assert.equal(shortest("::ffff:192.0.2.1"), "::ffff:c000:201");
  assert.equal(shortest("1:0:2:3:4:5:6:7"), "1:0:2:3:4:5:6:7");
});

test("a subnet forgets its host bits and knows what it contains", () => {
  const subnet = parseSubnet("172.17.5.9/16");
  assert.equal(formatSubnet(subnet), "172.17.0.0/16");
  assert.ok(contains(subnet, 4, parseAddress("172.17.255.255")!.value));
  assert.ok(!contains(subnet, 4, parseAddress("172.18.0.0")!.value));
  assert.throws(() => parseSubnet("172.17.0.0"), { message: "invalid CIDR address: 172.17.0.0" });
  assert.throws(() => parseSubnet("172.17.0.0/33"), { kind: "invalid" });
});

test("two subnets overlap exactly when one contains the other's first address", () => {
  const subnet = fc
    .tuple(fc.bigInt({ min: 0n, max: 0xffff_ffffn }), fc.integer({ min: 1, max: 32 }))
    .map(([value, prefix]) => subnetOf(4, value, prefix));
  fc.assert(
    fc.property(subnet, subnet, (a, b) => {
      assert.equal(overlaps(a, b), contains(a, 4, b.base) || contains(b, 4, a.base));
    }),
  );
});

test("an address determines its MAC", () => {
  assert.equal(macOfAddress("172.17.0.2"), "02:42:ac:11:00:02");
});
