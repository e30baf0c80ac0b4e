import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { options } from "./option-table.ts";

test("the reference lists every option under what it does", () => {
  const page = readFileSync(new URL("../../docs/reference/daemon.md", import.meta.url), "utf8");
  const [, works = "", refused = "", nothing = ""] = page.split(/^## .*$/m);
  const sections = { works, refused, nothing };
  const missing = options.filter(
    ({ key, effect }) => !sections[effect.does].includes(`| \`${key}\` |`),
  );
  assert.deepEqual(
    missing.map(({ key }) => key),
    [],
  );
});
