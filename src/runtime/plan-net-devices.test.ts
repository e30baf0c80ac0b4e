import assert from "node:assert/strict";
import { test } from "node:test";
import { netDeviceNames, planNetDevices, readNetDevice } from "./plan-net-devices.ts";

/** A message: type, body. */
function message(type: number, body: number[]): Uint8Array {
  const bytes = new Uint8Array((16 + body.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 16 + body.length, true);
  view.setUint16(4, type, true);
  bytes.set(body, 16);
  return bytes;
}
const link = message(16, [0, 0, 0, 0, 7, 0, 0, 0, ...new Array(8).fill(0)]);
/** ifaddrmsg with IFA_LOCAL and IFA_FLAGS. */
const address = (flags: number, scope: number, index: number, last: number) =>
  message(20, [
    ...[2, 24, flags & 0xff, scope, index, 0, 0, 0],
    ...[8, 0, 2, 0, 192, 0, 2, last],
    ...[8, 0, 8, 0, flags & 0xff, flags >> 8, 0, 0],
  ]);

test("permanent addresses of global scope are kept, with the flags of their owner", () => {
  const addresses = Buffer.concat([
    address(0x80 | 0x200, 0, 7, 1),
    address(0, 0, 7, 2), // a lease
    address(0x80, 253, 7, 3), // of the link
    address(0x80, 0, 8, 4), // another's
  ]);
  const device = readNetDevice("eth0", link, addresses);
  assert.equal(device.index, 7);
  assert.equal(device.addresses.length, 1);
  const [kept] = device.addresses;
  assert.equal(kept?.flags, 0x200);
  assert.deepEqual([...kept!.attributes[0]!.data], [192, 0, 2, 1]);
});

test("answers that are cut short are read as far as they go", () => {
  const whole = address(0x80, 0, 7, 1);
  for (let length = 0; length < whole.length; length++) {
    assert.deepEqual(readNetDevice("x", link, whole.subarray(0, length)).addresses, []);
  }
  assert.throws(() => readNetDevice("x", new Uint8Array(), whole), /told nothing/);
});

test("names are checked before anything moves", () => {
  const names = (netDevices: Record<string, { name?: string }>) => netDeviceNames({ netDevices });
  assert.deepEqual(
    [...names({ a: {}, b: { name: "a%d" } })],
    [
      ["a", "a"],
      ["b", "a%d"],
    ],
  );
  for (const name of ["a b", "a/b", "x".repeat(16), "..", "%d%d", "a%s", "%dx", "lo"]) {
    assert.throws(() => names({ a: { name } }), /network device/, name);
  }
  assert.throws(() => names({ a: { name: "x" }, b: { name: "x" } }), /two network devices/);
});

test("a device is found again by its name, or by a number where the kernel names it", () => {
  const namespaces = { has: () => true };
  const device = { index: 7, addresses: [] };
  const named = planNetDevices([{ ...device, to: "a" }], { netns: 4, namespaces });
  assert.deepEqual(
    named.map(({ op }) => op),
    ["netlink", "interfaceIndex", "netlink"],
  );
  const template = planNetDevices([{ ...device, to: "a%d" }], { netns: 4, namespaces });
  assert.deepEqual(
    template.map(({ op }) => op),
    ["netlink", "netlink"],
  );
  const none = { netns: 4, namespaces: { has: () => false } };
  assert.throws(() => planNetDevices([{ ...device, to: "a" }], none), /private NET namespace/);
});
