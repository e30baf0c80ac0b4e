// gantry-runtime's checkpoint and restore with a real CRIU. Where there is none that works here
// (`criu check`) only the refusals, which need none, are tested. What is allowed by a flag alone is
// oci-checkpoint-flags.test.ts's.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { cgroupsOf, cgroupValue } from "../support/container-cgroups.ts";
import { whyNoCriu } from "../support/criu.ts";
import { until, within } from "../support/deadline.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

const skipCriu = skip || whyNoCriu();

describe("checkpoints of gantry-runtime", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  /** A call in the foreground with streams that CRIU can take along: Node's own are sockets. The
   * last line is its exit code. */
  function piped(...args: string[]) {
    const script = `{ "$@" 2> /dev/null < /dev/null; echo "code $?"; } | cat`;
    const words = [oci.program, "--root", oci.root, ...args];
    const child = spawn("sh", ["-c", script, "sh", ...words], { stdio: ["ignore", "pipe", 2] });
    return { child, result: resultOf(child) };
  }

  /** Nobody hears what it says. */
  async function silent(...args: string[]): Promise<void> {
    const words = ["--root", oci.root, ...args];
    const [code] = await once(spawn(oci.program, words, { stdio: "ignore" }), "exit");
    assert.equal(code, 0, args.join(" "));
  }

  /** A container in the foreground that says a number again and again. */
  async function counting() {
    const { id, bundle } = await oci.bundle(["lines", "1000000", "10"]);
    const { child, result } = piped("run", "-b", bundle, id);
    await once(child.stdout!, "data");
    return { id, bundle, result };
  }

  const images = async (name: string) => await readdir(oci.path(name));

  test(`a container ends and comes back where it was, in the foreground ${proves("runc-cmd", "checkpoint", "checkpoint --image-path", "restore", "restore --image-path", "restore --bundle", "restore --pid-file")}`, {
    skip: skipCriu,
  }, async () => {
    const { id, bundle, result } = await counting();
    const place = ["--image-path", oci.path("first")];
    await oci.ok("exec", id, "write", "/dev/shm/note", "kept");
    const before = await oci.state(id);
    await oci.ok("checkpoint", ...place, id);
    const { stdout } = await result;
    assert.match(stdout, /code 137\n$/);
    assert.ok(existsSync(`${oci.path("first")}/pstree.img`));
    assert.match((await oci.call("state", id)).stderr, /container does not exist/);
    assert.deepEqual(await cgroupsOf(id), []);
    const last = Number(/(\d+)\ncode/.exec(stdout)?.[1]);
    const pidFile = oci.path("restored-pid");
    const again = piped("restore", ...place, "-b", bundle, "--pid-file", pidFile, id);
    const { child, result: restored } = again;
    const [line] = (await within(
      () => "a line of the restored container",
      once(createInterface({ input: child.stdout! }), "line"),
    )) as [string];
    assert.ok(Number(/\d+/.exec(line)?.[0]) >= last, `${line} after ${last}`);
    // It may speak before the runtime has written down that it is back.
    await until("its state", async () => (await oci.state(id)).status === "running");
    await until("its pid", () => existsSync(pidFile));
    const { pid } = await oci.state(id);
    assert.equal(await readFile(pidFile, "utf8"), String(pid));
    assert.notEqual(pid, before.pid);
    // It is in the cgroups of this container, and the child of this call.
    assert.match(await readFile(`/proc/${pid}/cgroup`, "utf8"), new RegExp(id));
    const parent = /PPid:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
    assert.match(await readFile(`/proc/${parent}/cmdline`, "utf8"), /restore.*pid-file/);
    assert.equal(await oci.ok("exec", id, "cat", "/dev/shm/note"), "kept\n");
    await oci.ok("update", "--pids-limit", "44", id);
    assert.equal(await cgroupValue(pid, "pids", { v1: "pids.max", v2: "pids.max" }), "44");
    await oci.ok("kill", id, "KILL");
    assert.match((await restored).stdout, /code 137\n$/);
    assert.deepEqual(await cgroupsOf(id), []);
    assert.deepEqual(await readdir(oci.root), []);
  });

  test(`it may go on, and be restored elsewhere without anybody waiting ${proves("runc-cmd", "checkpoint --leave-running", "checkpoint --work-path", "restore --work-path", "restore --detach", "restore --no-subreaper")}`, {
    skip: skipCriu,
  }, async () => {
    const { id, bundle } = await oci.bundle(["stubborn"]);
    await silent("run", "-d", "-b", bundle, id);
    const place = ["--image-path", oci.path("second"), "--work-path", oci.path("logs")];
    await oci.ok("checkpoint", "--leave-running", ...place, id);
    assert.equal((await oci.state(id)).status, "running");
    assert.ok((await images("logs")).includes("dump.log"));
    // Of a bundle of its own: the first one's configuration names the cgroup of the first.
    const { id: other, bundle: elsewhere } = await oci.bundle(["stubborn"]);
    await silent("restore", "--detach", "--no-subreaper", ...place, "--bundle", elsewhere, other);
    const { pid, status } = await oci.state(other);
    assert.equal(status, "running");
    assert.notEqual(pid, (await oci.state(id)).pid);
    const parent = /PPid:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
    const words = await readFile(`/proc/${parent}/cmdline`, "utf8");
    assert.doesNotMatch(words, /gantry/, "it is the child of whoever takes orphans");
    for (const one of [id, other]) await oci.ok("delete", "--force", one);
    assert.deepEqual(await cgroupsOf(id), []);
  });

  test("images that are damaged are a failed restore that leaves nothing", {
    skip: skipCriu,
  }, async () => {
    const { id, bundle } = await oci.bundle(["stubborn"]);
    await silent("run", "-d", "-b", bundle, id);
    const folder = oci.path("damaged");
    await oci.ok("checkpoint", "--image-path", folder, id);
    execFileSync("rm", [`${folder}/pstree.img`]);
    const { code, stderr } = await oci.call(
      ...["restore", "--image-path", folder, "-b", bundle, id],
    );
    assert.equal(code, 1);
    assert.match(stderr, /criu failed: .*restore\.log/);
    assert.deepEqual(await readdir(oci.root), []);
    assert.deepEqual(await cgroupsOf(id), []);
  });

  test(`what cannot be honoured is refused, and the container goes on`, async () => {
    const { id, bundle } = await oci.bundle(["stubborn"]);
    await silent("run", "-d", "-b", bundle, id);
    for (const [flags, why] of [
      [["--lazy-pages"], /not supported: --lazy-pages/],
      [["--status-fd", "3"], /not supported: --status-fd/],
      [["--shell-job"], /not supported: --shell-job: containers with a terminal/],
      [["--auto-dedup"], /--auto-dedup needs --parent-path/],
      [["--manage-cgroups-mode", "full"], /not supported: --manage-cgroups-mode full/],
      [["--manage-cgroups-mode", "soft"], /not supported: --manage-cgroups-mode soft/],
      [["--manage-cgroups-mode", "odd"], /Invalid manage-cgroups-mode value: odd/],
      [["--empty-ns", "pid"], /namespace pid is not supported/],
      [["--parent-path", "/absolute"], /--parent-path must be relative/],
      [["--page-server", "nowhere"], /Use --page-server ADDRESS:PORT/],
    ] as const) {
      const { code, stderr } = await oci.call("checkpoint", ...flags, id);
      assert.equal(code, 1);
      assert.match(stderr, why);
    }
    await oci.ok("pause", id);
    assert.match((await oci.call("checkpoint", id)).stderr, /in paused state/);
    await oci.ok("resume", id);
    const missing = await oci.call("--criu", "/nonexistent/criu", "checkpoint", id);
    assert.match(missing.stderr, /nonexistent\/criu.*executable file not found/);
    assert.equal((await oci.state(id)).status, "running");
    await oci.ok("delete", "-f", id);
    for (const [flags, why] of [
      [["--no-pivot"], /not supported: --no-pivot/],
      [["--console-socket", "/x"], /not supported: --console-socket/],
      [["--lazy-pages"], /not supported: --lazy-pages/],
      [["--shell-job"], /not supported: --shell-job: containers with a terminal/],
      [["--lsm-profile", "apparmor:x"], /not supported: --lsm-profile/],
      [["--lsm-mount-context", "x"], /not supported: --lsm-mount-context/],
      [["--no-subreaper"], /not supported: --no-subreaper without --detach/],
      [["--image-path", "/nonexistent"], /holds no checkpoint of ours/],
    ] as const) {
      const { code, stderr } = await oci.call("restore", ...flags, "-b", bundle, id);
      assert.equal(code, 1);
      assert.match(stderr, why);
    }
    assert.deepEqual(await readdir(oci.root), []);
  });

  test("what CRIU cannot take with it is said before it is asked", async () => {
    const { id, bundle } = await oci.bundle(["stubborn"], (spec) => {
      const { namespaces = [] } = spec.linux!;
      spec.linux!.namespaces = [
        ...namespaces.filter(({ type }) => type !== "cgroup"),
        { type: "cgroup" },
      ];
    });
    await silent("run", "-d", "-b", bundle, id);
    const { stderr } = await oci.call("checkpoint", "--image-path", oci.path("none"), id);
    assert.match(stderr, /a cgroup namespace of its own.* not supported/);
    assert.ok(!existsSync(oci.path("none")));
    await oci.ok("delete", "-f", id);
  });
});
