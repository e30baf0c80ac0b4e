import assert from "node:assert/strict";
import { test } from "node:test";
import { hashPassword, verifyPassword } from "./bcrypt.ts";
import { parseHtpasswd } from "./htpasswd.ts";

const hash = "$2b$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

test("lines of bcrypt are read, comments and empty lines left out", () => {
  const users = parseHtpasswd(`# users\n\nann:${hash}\r\n  bob:${hash.replace("2b", "2y")}\n`);
  assert.deepEqual([...users.keys()], ["ann", "bob"]);
  assert.equal(users.get("ann"), hash);
});

test("other hashes are refused with line, user and remedy", () => {
  assert.throws(
    () => parseHtpasswd(`ann:${hash}\nbob:$apr1$x$y`),
    /Line 2 \(user "bob"\).*htpasswd -B/,
  );
  assert.throws(() => parseHtpasswd("bob:plain"), /is not a bcrypt hash/);
  assert.throws(() => parseHtpasswd(hash.replace("$04", "bob:$31")), /not/);
  assert.throws(() => parseHtpasswd(`bob:${hash.replace("$04", "$31")}`), /cost 31/);
  assert.throws(() => parseHtpasswd("nothing"), /Line 1 is not name:hash/);
  assert.throws(() => parseHtpasswd(`:${hash}`), /Line 1/);
});

test("all three names of bcrypt verify, and only the right password does", async () => {
  const made = await hashPassword("secret", 4);
  for (const name of ["2a", "2b", "2y"]) {
    const named = made.replace(/^\$2b/, `$${name}`);
    assert.equal(await verifyPassword("secret", named), true, name);
    assert.equal(await verifyPassword("Secret", named), false, name);
  }
});
