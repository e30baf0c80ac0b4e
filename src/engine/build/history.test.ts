// What of a build's attributes its record keeps.

import assert from "node:assert/strict";
import { test } from "node:test";
import { attrsOf } from "./history.ts";

test("no password of an address is in the record of a build", () => {
  const attrs = {
    context: "https://me:p@ss@example.com/repo.git#main",
    "build-arg:HTTP_PROXY": "http://user:secret@proxy:3128",
    "build-arg:MAIL": "me@example.com",
    "context:other": "ssh://git@example.com/x.git",
    target: "",
  };
  const dockerfile = { path: "Dockerfile", name: "Dockerfile" } as never;
  const job = { attrs, dockerfile, platforms: [], buildArgs: {}, target: "" };
  assert.deepEqual(attrsOf(job), {
    context: "https://example.com/repo.git#main",
    "build-arg:HTTP_PROXY": "http://proxy:3128",
    "build-arg:MAIL": "me@example.com",
    "context:other": "ssh://git@example.com/x.git",
    target: "",
  });
});
