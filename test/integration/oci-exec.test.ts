// gantry-runtime exec with every flag that it has, seen from the new process and from outside.

import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cgroupFolder } from "../support/container-cgroups.ts";
import { until } from "../support/deadline.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("a further process in a container of gantry-runtime", { skip }, () => {
  let oci: OciFixture;
  let id: string;
  let pid: number;
  before(async () => {
    oci = await OciFixture.make();
    const made = await oci.bundle(["sleep"], (spec) => {
      spec.process!.user = { uid: 7, gid: 8, additionalGids: [9] };
      spec.process!.capabilities = { bounding: ["CAP_CHOWN"], permitted: [], effective: [] };
    });
    id = made.id;
    await oci.detached("run", "-d", "-b", made.bundle, id);
    ({ pid } = await oci.state(id));
  });
  after(() => oci[Symbol.asyncDispose]());

  test(`user and groups: those of the container, and what is named instead or besides ${proves("runc-cmd", "exec --user", "exec --additional-gids")}`, async () => {
    assert.match(await oci.ok("exec", id, "id"), /\b7\b[\s\S]*\b8\b[\s\S]*\b9\b/);
    const only = await oci.ok("exec", "--user", "1000", id, "status", "Uid", "Gid");
    assert.match(only, /Uid:\s+1000\s/);
    assert.match(only, /Gid:\s+8\s/);
    const both = ["--user", "1000:2000", "-g", "3000", "--additional-gids", "3001"];
    const more = await oci.ok("exec", ...both, id, "status", "Gid", "Groups");
    assert.match(more, /Gid:\s+2000\s/);
    assert.match(more, /Groups:\s+9 3000 3001/);
    for (const user of ["root", "5:x", ":5", "-1"]) {
      const { code, stderr } = await oci.call("exec", "--user", user, id, "true");
      assert.equal(code, 255);
      assert.match(stderr, /exec failed: parsing .* as int for [ug]id failed/);
    }
  });

  test(`capabilities, no_new_privs, folder and environment ${proves("runc-cmd", "exec --cap", "exec --no-new-privs", "exec --cwd", "exec --env")}`, async () => {
    const root = ["--user", "0:0"];
    const plain = await oci.ok("exec", ...root, id, "status", "CapEff", "CapBnd", "NoNewPrivs");
    const more = await oci.ok(
      ...["exec", ...root, "--cap", "CAP_KILL", "-c", "CAP_NONSENSE", "--no-new-privs"],
      ...[id, "status", "CapEff", "CapBnd", "NoNewPrivs"],
    );
    assert.match(plain, /CapBnd:\s+0*1\s/);
    assert.match(more, /CapEff:\s+0*20\s/); // CAP_KILL is number 5
    assert.match(more, /CapBnd:\s+0*21\s/);
    assert.match(more, /NoNewPrivs:\s+1/);
    const { stderr } = await oci.call("exec", "-c", "CAP_NONSENSE", id, "true");
    assert.match(stderr, /level=warning msg="ignoring unknown or unavailable capabilities: \[CAP_/);
    const environment = ["-e", "A=1", "--env", "B=2", "--cwd", "/tmp"];
    assert.equal(await oci.ok("exec", ...environment, id, "pwd"), "/tmp\n");
    assert.match(await oci.ok("exec", ...environment, id, "env"), /A=1\n[\s\S]*B=2/);
    const lost = await oci.call("exec", "--cwd", "/nowhere", id, "true");
    assert.match(lost.stderr, /chdir to cwd .*\/nowhere.*: no such file or directory/);
  });

  test(`labels that this host knows nothing of are refused ${proves("runc-cmd", "exec --apparmor", "exec --process-label")}`, async () => {
    for (const [flag, module] of [
      ["--apparmor", "apparmor"],
      ["--process-label", "selinux"],
    ] as const) {
      const lsm = await readFile("/sys/kernel/security/lsm", "utf8").catch(() => "");
      if (lsm.includes(module)) continue;
      const { code, stderr } = await oci.call("exec", flag, "some_label_t", id, "true");
      assert.equal(code, 255);
      assert.match(stderr, new RegExp(`${module} is not enabled`));
    }
  });

  test(`a cgroup in the container's own, for one controller or all ${proves("runc-cmd", "exec --cgroup")}`, async () => {
    const all = new Set<string>();
    const text = await readFile(`/proc/${pid}/cgroup`, "utf8");
    // Hierarchies that the container has no cgroup in are somebody else's.
    const lines = text.split("\n").filter((line) => line.includes(id));
    for (const line of lines) {
      const [, names = "", path = ""] = line.split(":");
      const mount = names === "" ? "unified" : names.replace(/^name=/, "");
      const candidates = [mount, ""].map((name) => join("/sys/fs/cgroup", name, path, "sub"));
      for (const path of candidates) if (existsSync(join(path, ".."))) all.add(path);
    }
    for (const path of all) await mkdir(path, { recursive: true });
    const seen = async (...flags: string[]) => {
      const stdout = await oci.ok("exec", ...flags, id, "cat", "/proc/self/cgroup");
      return stdout.split("\n").filter((line) => line.endsWith("/sub")).length;
    };
    assert.equal(await seen(), 0);
    if (!lines[0]!.startsWith("0::")) {
      assert.equal(await seen("--cgroup", "pids:sub"), 1);
      assert.equal(await seen("--cgroup", "pids,memory:sub"), 2);
    }
    assert.equal(await seen("--cgroup", "sub"), all.size);
    for (const [flags, why] of [
      [["--cgroup", "../.."], /is not a sub cgroup path/],
      [["--cgroup", "a", "--cgroup", "b"], /missing <controller>: prefix/],
      [["--cgroup", ":a"], /empty <controller> prefix/],
      [["--cgroup", "nothing:a"], /unknown controller nothing in SubCgroupPaths/],
      [["--cgroup", "pids:a", "--cgroup", "pids:b"], /controller pids specified multiple times/],
      [["--cgroup", "nowhere"], /no such file or directory/],
    ] as const) {
      const { code, stderr } = await oci.call("exec", ...flags, id, "true");
      assert.equal(code, 255);
      assert.match(stderr, why);
    }
  });

  test(`descriptors, a pid file while it lasts, and a process that nobody waits for ${proves("runc-cmd", "exec --preserve-fds", "exec --pid-file", "exec --detach")}`, async () => {
    const path = oci.path("kept");
    await writeFile(path, "kept");
    const kept = openSync(path, "r");
    const count = async (...flags: string[]) => {
      const child = oci.spawn(["exec", ...flags, id, "ls", "/proc/self/fd"], {
        stdio: ["pipe", "pipe", "pipe", kept],
      });
      child.stdin!.end();
      return (await resultOf(child)).stdout.trim().split("\n").length;
    };
    assert.equal((await count("--preserve-fds", "1")) - (await count()), 1);
    const negative = await oci.call("exec", "--preserve-fds", "-1", id, "true");
    assert.match(negative.stderr, /--preserve-fds -1 is negative/);
    const pidFile = oci.path("exec-pid");
    await oci.detached("exec", "-d", "--pid-file", pidFile, id, "sleep");
    const detached = Number(await readFile(pidFile, "utf8"));
    assert.equal(
      await readFile(`/proc/${detached}/cgroup`, "utf8"),
      await readFile(`/proc/${pid}/cgroup`, "utf8"),
    );
    process.kill(detached, "SIGKILL");
    const child = oci.spawn(["exec", "--pid-file", pidFile, id, "seq", "echo up", "eof"]);
    const result = resultOf(child);
    await once(child.stdout!, "data");
    assert.ok(existsSync(pidFile));
    child.stdin!.end();
    assert.equal((await result).code, 0);
    assert.ok(!existsSync(pidFile));
  });

  test(`process.json says everything, and what is wrong in it is told ${proves("runc-cmd", "exec --process")}`, async () => {
    const file = oci.path("process.json");
    const process = { args: ["id"], cwd: "/", user: { uid: 33, gid: 34 }, env: ["PATH=/bin"] };
    await writeFile(file, JSON.stringify(process));
    assert.match(await oci.ok("exec", "--process", file, id), /33[\s\S]*34/);
    for (const [content, why] of [
      ["{", /is no JSON/],
      [JSON.stringify({ ...process, args: [] }), /args must not be empty/],
      [JSON.stringify({ ...process, cwd: "" }), /Cwd property must not be empty/],
      [JSON.stringify({ ...process, cwd: "tmp" }), /Cwd must be an absolute path/],
    ] as const) {
      await writeFile(file, content);
      assert.match((await oci.call("exec", "-p", file, id)).stderr, why);
    }
    assert.match((await oci.call("exec", id)).stderr, /process args cannot be empty/);
    const terminal = await oci.call("exec", "-t", "-d", id, "true");
    assert.match(
      terminal.stderr,
      /cannot allocate tty if runc will detach without setting console/,
    );
    const socket = await oci.call("exec", "--console-socket", "/x", id, "true");
    assert.match(socket.stderr, /cannot use console socket if runc will not detach or allocate/);
  });

  test(`in a paused container it waits, if that is wanted ${proves("runc-cmd", "exec --ignore-paused")}`, async () => {
    await oci.ok("pause", id);
    const child = oci.spawn(["exec", "--ignore-paused", id, "echo", "thawed"]);
    const result = resultOf(child);
    child.stdin!.end();
    const procs = join(await cgroupFolder(pid, "freezer"), "cgroup.procs");
    const others = async () => (await readFile(procs, "utf8")).trim().split("\n").length;
    await until("a process that entered the frozen cgroup", async () => (await others()) > 1);
    assert.equal(child.exitCode, null);
    await oci.ok("resume", id);
    const { code, stdout, stderr } = await result;
    assert.deepEqual([code, stdout, stderr], [0, "thawed\n", ""]);
    assert.notDeepEqual(await readdir(oci.root), []);
  });
});
