// A disk that is full: the build says so, lets go of what it took, and the next one works.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { payloadProgram } from "../payload/payload.ts";
import { TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

const DISK_MIB = 48;

describe("a build on a full disk", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let context: string;
  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "gantry-e2e-"));
    daemon = new TestDaemon(folder, await payloadProgram(), { client: "gantry" });
    await daemon.hold();
    await mkdir(join(folder, "data"));
    const size = `size=${DISK_MIB}m`;
    const mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", join(folder, "data")];
    const { code, stderr } = await inside(...mount);
    assert.equal(code, 0, stderr);
    await daemon.start();
    await daemon.importPayload();
    context = join(folder, "context");
    await mkdir(context);
  });
  after(async () => {
    await daemon.kill9();
    await inside("umount", "-l", join(daemon.folder, "data"));
    await daemon.stop();
  });

  const inside = (...command: string[]) =>
    run("nsenter", ["-t", String(daemon.holderPid), "-m", "-n", ...command]);
  async function build(text: string) {
    await writeFile(join(context, "Dockerfile"), text);
    const args = ["build", "--network", "none", "--progress", "plain", "--no-cache", context];
    return await daemon.client(args);
  }
  async function freeKiB(): Promise<number> {
    const { stdout } = await inside("df", "--output=avail", join(daemon.folder, "data"));
    return Number(stdout.trim().split("\n").at(-1));
  }

  test("a step and a copy that fill it fail with their reason, and the room comes back", async () => {
    const before = await freeKiB();
    const step = await build('FROM payload\nRUN ["/bin/seq", "fill /big", "false"]\n');
    assert.match(step.stderr + step.stdout, /ENOSPC/);
    await truncate(join(context, "Dockerfile"), 0);
    await writeFile(join(context, "large"), Buffer.alloc((DISK_MIB + 8) * 1024 * 1024, "x"));
    const copy = await build("FROM payload\nCOPY large /large\n");
    assert.notEqual(copy.code, 0);
    assert.match(copy.stderr, /no space left on device|ENOSPC/i);
    await writeFile(join(context, "large"), "");
    while ((await freeKiB()) < before - 4096) await delay(50); // the build is deleted when it has ended
    const { code, stderr } = await build('FROM payload\nRUN ["/bin/true"]\n');
    assert.equal(code, 0, stderr);
    assert.deepEqual(await readdir(join(daemon.folder, "exec/m")), []);
  });
});
