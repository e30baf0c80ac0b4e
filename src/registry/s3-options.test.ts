import assert from "node:assert/strict";
import { test } from "node:test";
import { parseS3Options, s3Settings } from "./s3-options.ts";

test("a bucket is enough; a server of one's own may list in its own way", () => {
  assert.equal(s3Settings({ bucket: "b" }).listing, "keys");
  assert.equal(s3Settings({ bucket: "b", endpoint: "https://s3.example.com" }).listing, "folders");
  const own = { bucket: "b", endpoint: "https://s3.example.com", listing: "keys" } as const;
  assert.equal(s3Settings(own).listing, "keys");
});

test("options of the S3 store that make no sense are refused", () => {
  const refused: [unknown, RegExp][] = [
    ["bucket", /want an object/],
    [{}, /bucket is missing/],
    [{ bucket: 1 }, /bucket must be a text/],
    [{ bucket: "b", accessKeyId: "a" }, /come together/],
    [{ bucket: "b", endpoint: "s3.example.com" }, /http or https/],
    [{ bucket: "b", rootPrefix: "/a" }, /rootPrefix/],
    [{ bucket: "b", rootPrefix: "a/../b" }, /rootPrefix/],
    [{ bucket: "b", partBytes: 1 << 20 }, /partBytes must be a whole number from 5242880/],
    [{ bucket: "b", pathStyle: "yes" }, /true or false/],
    [{ bucket: "b", listing: "some" }, /listing/],
    [{ bucket: "b", secret: "x" }, /unknown option "secret"/],
  ];
  for (const [options, message] of refused) {
    assert.throws(() => parseS3Options(options), { kind: "invalid", message });
  }
});
