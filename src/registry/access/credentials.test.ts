import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAuthorization } from "./credentials.ts";

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

test("names and passwords survive the header, colons in passwords too", () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1 }).filter((name) => !name.includes(":")),
      fc.string({ unit: "grapheme" }),
      (username, password) => {
        assert.deepEqual(parseAuthorization(basic(`${username}:${password}`)), {
          type: "basic",
          username,
          password,
        });
      },
    ),
  );
});

test("no header makes the parser throw", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseAuthorization(text)));
});

test("no credentials and the empty ones that skopeo sends are nobody", () => {
  assert.deepEqual(parseAuthorization(undefined), { type: "none" });
  assert.deepEqual(parseAuthorization("Basic Og=="), { type: "none" });
});

test("what is malformed is never nobody", () => {
  const headers = [
    "Basic",
    "Basic !!!",
    basic("nocolon"),
    basic(":password"),
    "Digest username=x",
    "Bearer a b",
    "Bearer a\u0000b",
    `Bearer ${"a".repeat(100_000)}`,
  ];
  for (const header of headers) assert.equal(parseAuthorization(header).type, "malformed", header);
});
