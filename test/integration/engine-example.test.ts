// The examples are programs that run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { payloadRootfs } from "../payload/payload.ts";

const example = fileURLToPath(new URL("../../examples/run-container.ts", import.meta.url));

test("examples/run-container.ts runs a container, shows its output and passes its code on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-example-test-"));
  try {
    const archive = join(folder, "rootfs.tar");
    await writeFile(archive, await payloadRootfs());
    const { stdout } = await promisify(execFile)(process.execPath, [
      example,
      archive,
      "echo",
      "hi",
    ]);
    assert.match(stdout, /^imported sha256:[0-9a-f]{64}\nhi\nexit code 0\n$/);
    const failing = promisify(execFile)(process.execPath, [example, archive, "exit", "4"]);
    await assert.rejects(failing, { code: 4 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
