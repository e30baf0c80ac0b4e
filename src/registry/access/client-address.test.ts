import assert from "node:assert/strict";
import { test } from "node:test";
import { TrustedProxies } from "./client-address.ts";

test("X-Forwarded-For from a stranger is not believed", () => {
  const proxies = new TrustedProxies(["10.0.0.0/8"]);
  assert.equal(proxies.clientAddress("203.0.113.9", "1.2.3.4"), "203.0.113.9");
  assert.equal(new TrustedProxies([]).clientAddress("10.0.0.1", "1.2.3.4"), "10.0.0.1");
});

test("behind proxies the nearest address that is no proxy is the client, whatever he wrote before", () => {
  const proxies = new TrustedProxies(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]);
  const client = (forwarded: string) => proxies.clientAddress("::ffff:10.0.0.1", forwarded);
  assert.equal(client("1.2.3.4"), "1.2.3.4");
  assert.equal(client("6.6.6.6, 1.2.3.4"), "1.2.3.4");
  assert.equal(client("6.6.6.6, 1.2.3.4, 10.9.9.9, fd00::7"), "1.2.3.4");
  assert.equal(client("1.2.3.4:5678"), "1.2.3.4");
  assert.equal(client("[2001:db8::1]:80, 192.0.2.1"), "2001:db8::1");
  assert.equal(client("10.0.0.2"), "10.0.0.2");
  assert.equal(client("unknown"), "10.0.0.1");
  assert.equal(client(""), "10.0.0.1");
  assert.equal(client(`${"9.9.9.9,".repeat(100_000)}1.2.3.4`), "1.2.3.4");
});

test("networks that are none are refused", () => {
  for (const network of ["10.0.0.0/33", "host", "10.0.0.0/", "10.0.0.0/x", "::/129"]) {
    assert.throws(() => new TrustedProxies([network]), /is not an address or a network/, network);
  }
});
