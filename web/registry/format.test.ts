// The page's reading of JSON that anybody may have pushed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { safeAddress, visible } from "./dom.ts";
import {
  commandLine,
  contentSize,
  instruction,
  kindOf,
  layersWithHistory,
  pairs,
  platform,
  shortDigest,
  size,
  time,
} from "./format.ts";
import { parseChallenge } from "./registry-api.ts";

test("sizes have three digits and powers of 1000", () => {
  assert.deepEqual([0, 999, 1000, 1_234_567, 5e9].map(size), [
    "0 B",
    "999 B",
    "1 kB",
    "1.23 MB",
    "5 GB",
  ]);
});

test("values of wrong types are as if they were not there", () => {
  for (const value of [undefined, null, 1, "x", [], { os: 1, architecture: [] }]) {
    assert.equal(platform(value), "");
    assert.equal(typeof commandLine(value), "string");
    assert.deepEqual(layersWithHistory(value, value), []);
  }
  assert.deepEqual(pairs({ a: { b: 1 }, c: null }), [
    ["a", '{"b":1}'],
    ["c", "null"],
  ]);
  assert.equal(time("never"), "never");
  assert.equal(contentSize({ config: { size: -1 }, layers: [{ size: "9" }, { size: 2 }] }), 2);
});

test("each layer stands beside the step that made it", () => {
  const [a, b, c] = [{ digest: "a" }, { digest: "b" }, { digest: "c" }];
  const [one, none, two] = [{ created_by: "1" }, { empty_layer: true }, { created_by: "2" }];
  assert.deepEqual(layersWithHistory([a, b, c], [one, none, two]), [
    { layer: a, history: one },
    { history: none },
    { layer: b, history: two },
    { layer: c },
  ]);
});

test("steps read as in a Dockerfile", () => {
  assert.equal(instruction('/bin/sh -c #(nop)  CMD ["sh"]'), 'CMD ["sh"]');
  assert.equal(instruction("/bin/sh -c apk add curl"), "RUN apk add curl");
  assert.equal(instruction("RUN /bin/sh -c make # buildkit"), "RUN make # buildkit");
});

test("artifacts are told from images by their type and configuration", () => {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json" };
  assert.equal(kindOf({ manifests: [] }), "index");
  assert.equal(kindOf({ config }), "image");
  assert.equal(kindOf({ config, artifactType: "a/b" }), "artifact");
  assert.equal(kindOf({}), "artifact");
});

test("addresses that would run something lead nowhere", () => {
  for (const bad of ["javascript:1", "data:text/html,x", "//evil", " javascript:1", "vbscript:x"]) {
    assert.equal(safeAddress(bad), "#");
  }
  assert.equal(safeAddress("https://example.com/"), "https://example.com/");
  assert.equal(safeAddress("#/r/a"), "#/r/a");
});

test("characters that change the reading order are shown as what they are", () => {
  assert.equal(visible("a\u202eb\u0000\n"), "a\\u202eb\\u0000\n");
});

test("a challenge is read with its quoted parameters", () => {
  const { scheme, parameters } = parseChallenge(
    'Bearer realm="https://a/token?x=1,2",service="a \\"b\\"",scope="repository:a:pull,push"',
  );
  assert.equal(scheme, "bearer");
  assert.deepEqual(Object.fromEntries(parameters), {
    realm: "https://a/token?x=1,2",
    service: 'a "b"',
    scope: "repository:a:pull,push",
  });
  assert.equal(parseChallenge("").scheme, "");
  assert.equal(shortDigest("sha256:0123456789abcdef"), "sha256:0123456789ab");
});
