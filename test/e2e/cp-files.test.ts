// `cp` as people use it: patterns, several sources, containers to containers, streams, and what it
// says when it cannot. Through our own client; the stock one where both must behave the same.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, open, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

const net = ["--network", "none"];
const MIB = 1 << 20;

describe("cp", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let count = 0;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const refused = async (...args: string[]) => {
    const { code, stderr } = await daemon.client(["cp", ...args]);
    assert.equal(code, 1, stderr);
    return stderr.trim();
  };
  async function folder(files: Record<string, string> = {}): Promise<string> {
    const path = join(daemon.folder, `cp-${count++}`);
    await mkdir(path, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
    return path;
  }
  async function box(...args: string[]): Promise<string> {
    return await ok("run", "-d", ...net, ...args, IMAGE, "sleep");
  }

  test("a pattern is matched inside the container, and brings every file into a folder", async () => {
    const from = await folder({ "a.log": "1", "b.log": "2", "c.txt": "3", ".d.log": "4" });
    const id = await box();
    await ok("cp", from, `${id}:/tmp/logs`);
    const to = await folder();
    await ok("cp", `${id}:/tmp/logs/*.log`, to);
    assert.deepEqual((await readdir(to)).sort(), ["a.log", "b.log"]);
    await ok("cp", `${id}:/t*/l?gs/[bc].*`, to);
    assert.deepEqual((await readdir(to)).sort(), ["a.log", "b.log", "c.txt"]);
    assert.match(
      await refused(`${id}:/tmp/logs/*.none`, to),
      /no file matches \/tmp\/logs\/\*.none/,
    );
    assert.match(await refused(`${id}:/tmp/logs/*`, join(to, "new")), /must be a directory/);
    await ok("rm", "-f", id);
  });

  test("a file whose name looks like a pattern is that file", async () => {
    const from = await folder({ "a*b": "star", aXb: "other" });
    const id = await box();
    await ok("cp", `${from}/.`, `${id}:/tmp`);
    const to = await folder();
    await ok("cp", `${id}:/tmp/a*b`, to);
    assert.deepEqual(await readdir(to), ["a*b"]);
    await ok("rm", "-f", id);
  });

  test("several sources go into one folder, and one that fails spares the others", async () => {
    const from = await folder({ one: "1", two: "2" });
    const id = await box();
    await ok("cp", join(from, "one"), join(from, "two"), `${id}:/tmp`);
    const to = await folder();
    const stderr = await refused(`${id}:/tmp/one`, `${id}:/missing`, `${id}:/tmp/two`, to);
    assert.match(stderr, new RegExp(`Could not find the file /missing in container ${id}`));
    assert.deepEqual((await readdir(to)).sort(), ["one", "two"]);
    await ok("rm", "-f", id);
  });

  test("files go from one container into another, renamed or not, with their owners", async () => {
    const [one, two] = [await box(), await box()];
    await ok("exec", one, "mkdir", "/tmp/tree");
    await ok("exec", one, "write", "/tmp/tree/file", "moved");
    await ok("cp", `${one}:/home/app`, `${two}:/tmp/home`);
    await ok("cp", `${one}:/tmp/tree`, `${one}:/data/seed`, `${two}:/tmp`);
    assert.equal(await ok("exec", two, "cat", "/tmp/tree/file"), "moved");
    assert.equal(await ok("exec", two, "cat", "/tmp/seed"), "seed");
    assert.match(await ok("exec", two, "stat", "/tmp/home"), /1000/);
    await ok("stop", "-t", "0", two);
    await ok("cp", `${one}:/tmp/tree/file`, `${two}:/tmp/other`);
    const to = await folder();
    await ok("cp", `${two}:/tmp/other`, to);
    assert.equal(await readFile(join(to, "other"), "utf8"), "moved\n");
    await ok("rm", "-f", one, two);
  });

  test("what is mounted is there: volumes and binds always, a tmpfs while it runs", async () => {
    const bound = await folder({ in: "bound" });
    const args = ["-v", "cp-volume:/data", "-v", `${bound}:/bound:ro`, "--tmpfs", "/run"];
    const id = await ok("create", ...net, ...args, IMAGE, "sleep");
    const to = await folder({ in: "x" });
    await ok("cp", `${id}:/bound/in`, to);
    assert.equal(await readFile(join(to, "in"), "utf8"), "bound");
    const readOnly = "Error response from daemon: mounted volume is marked read-only";
    assert.equal(await refused(join(to, "in"), `${id}:/bound/`), readOnly);
    await ok("cp", join(to, "in"), `${id}:/data`);
    await ok("start", id);
    assert.equal(await refused(join(to, "in"), `${id}:/bound/`), readOnly);
    await ok("cp", join(to, "in"), `${id}:/run`);
    assert.equal(await ok("exec", id, "cat", "/run/in", "/data/in"), "boundbound");
    await ok("rm", "-f", id);
    await ok("volume", "rm", "cp-volume");
  });

  test("a read-only root takes files on its writable mounts only", async () => {
    const from = await folder({ f: "x" });
    const args = ["--read-only", "--tmpfs", "/run", "-v", "/data"];
    for (const id of [await box(...args), await ok("create", ...net, ...args, IMAGE)]) {
      const message = "Error response from daemon: container rootfs is marked read-only";
      assert.equal(await refused(join(from, "f"), `${id}:/etc/`), message);
      await ok("cp", join(from, "f"), `${id}:/data/`);
      await ok("rm", "-f", "-v", id);
    }
  });

  test("nothing of the kernel's own file systems is copied", async () => {
    const id = await box();
    const to = await folder();
    await ok("cp", `${id}:/proc`, to);
    assert.deepEqual(await readdir(join(to, "proc")), []);
    assert.match(await refused(`${id}:/proc/cpuinfo`, to), /Could not find the file/);
    const evil = await folder();
    await symlink("/proc/sys/kernel", join(evil, "link"));
    await ok("cp", `${evil}/link`, `${id}:/tmp`);
    await writeFile(join(evil, "core_pattern"), "|/evil");
    assert.notEqual(
      (await daemon.client(["cp", `${evil}/core_pattern`, `${id}:/tmp/link`])).code,
      0,
    );
    await ok("rm", "-f", id);
  });

  test("-L follows a chain of links, and without it the link itself comes", async () => {
    const id = await box();
    const links = await folder();
    await symlink("/tmp/second", join(links, "first"));
    await symlink("../data/seed", join(links, "second"));
    await ok("cp", `${links}/.`, `${id}:/tmp`);
    const to = await folder();
    await ok("cp", "-L", `${id}:/tmp/first`, to);
    assert.equal(await readFile(join(to, "first"), "utf8"), "seed\n");
    await ok("cp", `${id}:/tmp/second`, to);
    await assert.rejects(stat(join(to, "second")), { code: "ENOENT" });
    await ok("rm", "-f", id);
  });

  test("a refusal says what docker says, through either client", async () => {
    const id = await box();
    const from = await folder({ f: "x" });
    const cases: [args: string[], message: RegExp][] = [
      [[`${id}:/nosuch`, from], /: Could not find the file \/nosuch in container \w+$/],
      [[`${from}/f`, `${id}:/no/dir`], /: Could not find the file \/no in container \w+$/],
      [[`${from}/none`, `${id}:/`], /^lstat .*\/none: no such file or directory$/],
      [[`${id}:/etc`, `${from}/f`], /^cannot copy directory$/],
      [
        [`${id}:/etc/passwd`, `${from}/none/x`],
        /^invalid output path: directory ".*" does not exist$/,
      ],
      [[`${id}:/etc/passwd`, "/dev/null"], /got a device$/],
      [[`${id}:/etc/passwd`, `${from}/new/`], /^no such directory$/],
      [["-", `${id}:/etc/passwd`], /^destination "\w+:\/etc\/passwd" must be a directory$/],
      [[`${from}/f`, "nosuch:/x"], /^Error response from daemon: No such container: nosuch$/],
    ];
    for (const [args, message] of cases) {
      assert.match((await refused(...args)).split("\n").at(-1)!, message);
      if (!dockerPath) continue;
      const stock = await run(dockerPath, ["cp", ...args], { env: daemon.env });
      assert.match(stock.stderr.trim().split("\n").at(-1)!, message);
    }
    await ok("rm", "-f", id);
  });

  test("a large file streams: the daemon's memory stays where it is", async () => {
    const from = await folder();
    const file = await open(join(from, "large"), "w");
    for (let i = 0; i < 32; i++) await file.write(Buffer.alloc(4 * MIB, i));
    await file.close();
    const id = await box();
    const pid = (await readFile(join(daemon.folder, "pid"), "utf8")).trim();
    const resident = async () => {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
    };
    await ok("cp", join(from, "large"), `${id}:/tmp`);
    const before = await resident();
    await ok("cp", `${id}:/tmp/large`, join(from, "back"));
    await ok("cp", join(from, "large"), `${id}:/tmp/again`);
    const grown = (await resident()) - before;
    assert.ok(grown < 64, `grew by ${grown.toFixed()} MiB over 256 MiB of copies`);
    execFileSync("cmp", [join(from, "large"), join(from, "back")]);
    await ok("rm", "-f", id);
  });
});
