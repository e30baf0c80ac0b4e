// The files of a container from outside (cp, diff, export, commit), its figures (stats, df), its
// health, and the clean-up commands.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE, type TestDaemon } from "../harness.ts";

export function fileScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const net = ["--network", "none"];

  test("cp carries files and folders in both directions, running or not", async () => {
    const folder = join(daemon().folder, "copied");
    await mkdir(join(folder, "inner"), { recursive: true });
    await writeFile(join(folder, "inner/file"), "from outside\n");
    const id = await ok("run", "-d", ...net, IMAGE, "sleep");
    await ok("cp", folder, `${id}:/tmp`);
    assert.equal(await ok("exec", id, "cat", "/tmp/copied/inner/file"), "from outside");
    await ok("exec", id, "write", "/tmp/made", "from inside");
    await ok("stop", id);
    const target = join(daemon().folder, "made");
    await ok("cp", `${id}:/tmp/made`, target);
    assert.equal(await readFile(target, "utf8"), "from inside\n");
    const missing = await daemon().client(["cp", `${id}:/nothing`, target]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /Could not find the file \/nothing in container/);
    await ok("rm", id);
  });

  test("cp cannot be led outside by a link of the container", async () => {
    const outside = join(daemon().folder, "outside-file");
    await writeFile(outside, "secret\n");
    const folder = join(daemon().folder, "trap");
    await mkdir(folder);
    await symlink(outside, join(folder, "link"));
    const id = await ok("create", ...net, IMAGE);
    await ok("cp", `${folder}/link`, `${id}:/link`);
    const target = join(daemon().folder, "stolen");
    const { code } = await daemon().client(["cp", "-L", `${id}:/link`, target]);
    if (code === 0) assert.notEqual(await readFile(target, "utf8"), "secret\n");
    await ok("rm", id);
  });

  test("diff lists what was added, changed and deleted", async () => {
    const verbs = ["write /new text", "append /data/seed more", "rm /etc/group"];
    const id = await ok("run", "-d", ...net, IMAGE, "seq", ...verbs);
    await ok("wait", id);
    const lines = (await ok("diff", id)).split("\n").sort();
    for (const line of ["A /new", "C /data", "C /data/seed", "C /etc", "D /etc/group"]) {
      assert.ok(lines.includes(line), `${line} in ${lines.join(", ")}`);
    }
    await ok("rm", id);
  });

  test("commit makes an image of a container, export its root file system", async () => {
    const id = await ok("run", "-d", ...net, IMAGE, "write", "/mark", "kept");
    await ok("wait", id);
    const image = await ok("commit", "-m", "a note", "-c", 'CMD ["cat","/mark"]', id, "made:1");
    assert.match(image, /^sha256:[0-9a-f]{64}$/);
    assert.equal(await ok("run", "--rm", ...net, "made:1"), "kept");
    assert.match(await ok("history", "made:1"), /a note/);
    const archive = join(daemon().folder, "exported.tar");
    await ok("export", "-o", archive, id);
    await ok("import", archive, "exported:1");
    assert.equal(await ok("run", "--rm", ...net, "exported:1", "/bin/cat", "/mark"), "kept");
    await ok("rm", id);
    await ok("rmi", "made:1", "exported:1");
  });

  test("stats show a running container once when asked", async () => {
    const id = await ok("run", "-d", ...net, "--name", "measured", IMAGE, "sleep");
    const format = "{{.Name}} {{.PIDs}} {{.MemUsage}}";
    assert.match(await ok("stats", "--no-stream", "--format", format, id), /^measured 1 \S+ \/ /);
    await ok("rm", "-f", id);
  });

  test("a health check is run and its verdict shown", async () => {
    const flags = ["--health-cmd", "/bin/payload cat /tmp/healthy", "--health-interval", "100ms"];
    const more = ["--health-retries", "1"];
    const shell = ["--entrypoint", "", IMAGE];
    const id = await ok("run", "-d", ...net, ...flags, ...more, ...shell, "sleep");
    const status = () => ok("inspect", "-f", "{{.State.Health.Status}}", id);
    for (let n = 0; n < 600 && (await status()) !== "unhealthy"; n++) await delay(50);
    assert.equal(await status(), "unhealthy"); // there is no /bin/sh, which the command needs
    await ok("rm", "-f", id);
  });

  test("df and prune count and remove what is unused", async () => {
    const id = await ok("create", ...net, IMAGE);
    assert.match(await ok("system", "df"), /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE/);
    const pruned = await ok("container", "prune", "-f");
    assert.match(pruned, new RegExp(`^Deleted Containers:\n(.*\n)*${id}\n`));
    await ok("volume", "create", "unused");
    assert.match(await ok("volume", "prune", "-af"), /unused/);
    assert.equal(await ok("ps", "-aq"), "");
  });

  test("the spellings by noun do the same as the short ones", async () => {
    const id = await ok("container", "create", ...net, "--name", "spelled", IMAGE);
    assert.equal(await ok("container", "ls", "-aq", "--no-trunc"), id);
    assert.match(await ok("container", "inspect", "spelled"), /"Name": "\/spelled"/);
    await ok("container", "rm", "spelled");
    assert.equal(await ok("image", "ls", "-q"), await ok("images", "-q"));
    assert.match(await ok("network", "ls", "--format", "{{.Name}}"), /bridge\nhost\nnone/);
  });
}
