import assert from "node:assert/strict";
import { test } from "node:test";
import { goFileMode, isDirectory } from "./file-mode.ts";

test("st_mode becomes Go's os.FileMode", () => {
  assert.equal(goFileMode(0o100644), 0o644);
  assert.equal(goFileMode(0o040755), 2147484141); // os.ModeDir | 0755
  assert.equal(goFileMode(0o120777), 134218239); // os.ModeSymlink | 0777
  assert.equal(goFileMode(0o041777), 2148532735); // os.ModeDir | os.ModeSticky | 0777
  assert.equal(goFileMode(0o104755), 8389101); // os.ModeSetuid | 0755
  assert.ok(isDirectory(goFileMode(0o040700)) && !isDirectory(goFileMode(0o100700)));
});
