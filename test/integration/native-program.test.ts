// The daemon's TypeScript and its native program belong together: a daemon whose spawner ends after
// another program was built goes on with the one that it started with.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { createLogger } from "../../src/base/index.ts";
import { ResidentNative } from "../../src/daemon/resident-native.ts";
import { keptProgramPath, nativeProgramPath } from "../../src/native/index.ts";

const root = await mkdtemp(join(tmpdir(), "gantry-native-program-"));
after(() => rm(root, { recursive: true, force: true }));

const childrenOf = async (): Promise<string[]> => {
  const text = await readFile(`/proc/self/task/${process.pid}/children`, "utf8");
  return text.split(" ").filter((pid) => pid !== "");
};

test("what is started later is the program that was there first, whatever has its name now", async () => {
  const program = join(root, "replaced");
  await copyFile(nativeProgramPath, program);
  const before = keptProgramPath(program);
  await copyFile("/bin/false", join(root, "newer"));
  await rename(join(root, "newer"), program);
  assert.equal(keptProgramPath(program), before);
  assert.deepEqual(await readFile(before), await readFile(nativeProgramPath));
});

test("a native program that is built later is not taken by a daemon that runs", async () => {
  const program = join(root, "gantry-native");
  await copyFile(nativeProgramPath, program);
  await copyFile("/bin/false", join(root, "another"));
  const native = new ResidentNative(root, createLogger({ level: "fatal" }), { program });
  const make = (name: string) =>
    native.run({
      host: [{ op: "mkdir", path: join(root, name), mode: 0o755 }],
      deadlineMs: 60_000,
    });
  try {
    const before = await childrenOf();
    await make("before");
    const spawner = (await childrenOf()).filter((pid) => !before.includes(pid));
    assert.equal(spawner.length, 1);
    await rename(join(root, "another"), program);
    process.kill(Number(spawner[0]), "SIGKILL");
    // The old one's end is noticed in a while.
    while ((await childrenOf()).includes(spawner[0]!)) await turn();
    for (let tries = 0; tries < 1000; tries++) {
      await turn();
      if (
        await make(`after-${tries}`).then(
          () => true,
          () => false,
        )
      )
        break;
    }
    const made = await Promise.any(
      Array.from({ length: 1000 }, (_, n) => stat(join(root, `after-${n}`))),
    );
    assert.ok(made.isDirectory());
  } finally {
    await native.close();
  }
});

test("without descriptors for a spawner its calls say so, and its caller goes on", async () => {
  const door = new URL("../../src/native/index.ts", import.meta.url).href;
  const script = `
    import { openSync } from "node:fs";
    import { Spawner } from "${door}";
    try { for (;;) openSync("/dev/null"); } catch {}
    const spawner = new Spawner({ execRoot: "${root}" });
    await spawner.run({ host: [], deadlineMs: 1000 }).catch(({ kind, cause }) => {
      console.log(kind, cause.code);
    });`;
  const { stdout } = await promisify(execFile)("sh", [
    ...["-c", 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
  ]);
  assert.equal(stdout, "unavailable EMFILE\n");
});
