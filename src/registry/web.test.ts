import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { programRoot } from "../base/index.ts";
import { contentSecurityPolicy } from "./web.ts";
import { asset, assetPaths } from "./web-assets.ts";

test("every file of the page is served, and nothing else", () => {
  const files = readdirSync(join(programRoot(), "web/registry"))
    .filter((name) => !name.endsWith(".test.ts"))
    .map((name) => (name === "index.html" ? "/" : `/ui/${name}`));
  assert.deepEqual([...assetPaths].sort(), files.sort());
});

test("scripts reach the browser without types, and pages without scripts of their own", async () => {
  for (const path of assetPaths) {
    const { bytes, type } = await asset(path);
    const text = bytes.toString();
    assert.doesNotMatch(text, /\binnerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
    if (path.endsWith(".ts")) {
      assert.match(type, /^text\/javascript/);
      assert.doesNotMatch(text, /\bimport type\b|: string\b/, path);
    }
    if (path === "/") assert.doesNotMatch(text, /<script>|\son\w+=|style=|https?:\/\//);
  }
});

test("the policy allows our own files only, and the token service's address for requests", () => {
  const plain = contentSecurityPolicy();
  assert.match(plain, /default-src 'none'/);
  assert.doesNotMatch(plain, /unsafe|\*|https?:/);
  const external = contentSecurityPolicy("https://auth.example.com/token?x=1");
  assert.match(external, /connect-src 'self' https:\/\/auth\.example\.com;/);
});
