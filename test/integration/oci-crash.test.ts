// What a runtime that was killed leaves can be found and deleted, whatever it was doing; and two
// commands never work on one container at a time.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cgroupFolder, cgroupsOf } from "../support/container-cgroups.ts";
import { until } from "../support/deadline.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("a container of gantry-runtime whose maker died", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  /** A container whose creation stops in a hook: the pid of the hook. */
  async function halfMade(name: string) {
    const fifo = oci.path(`${name}-pid`);
    const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
      const script = `echo $$ > ${fifo}; exec sleep 1000`;
      const hook = { path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin"] };
      spec.hooks = { createRuntime: [hook] } as NonNullable<typeof spec.hooks>;
    });
    const child = oci.spawn(["create", "-b", bundle, id]);
    const pid = async () => Number(await readFile(fifo, "utf8").catch(() => ""));
    await until("the hook", async () => (await pid()) > 0);
    return { id, bundle, child, hook: await pid() };
  }

  test(`it is being created; only a forced delete takes it away, with all that it had ${proves("runc-cmd", "delete --force")}`, async () => {
    const { id, child, hook } = await halfMade("killed");
    try {
      const made = JSON.parse(await oci.ok("state", id));
      assert.deepEqual([made.status, made.pid], ["creating", 0]);
      assert.notDeepEqual(await cgroupsOf(id), []);
      child.kill("SIGKILL");
      await once(child, "exit");
      assert.equal((await oci.state(id)).status, "creating");
      for (const [args, why] of [
        [["delete", id], /cannot delete container .* that is not stopped: creating/],
        [["start", id], /cannot start a container that is not created/],
        [["kill", id], /container not running/],
        [["exec", id, "true"], /cannot exec in a creating container/],
        [["pause", id], /container not running or created: creating/],
        [["update", "--pids-limit", "9", id], /container not running/],
      ] as const) {
        assert.match((await oci.call(...args)).stderr, why);
      }
      await oci.ok("delete", "--force", id);
    } finally {
      process.kill(hook, "SIGKILL");
    }
    assert.deepEqual(await readdir(oci.root), []);
    assert.deepEqual(await cgroupsOf(id), []);
  });

  test("its waiting process dies with it, though its pid was never written", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("create", "-b", bundle, id);
    const { pid } = await oci.state(id);
    // As the state file is between the birth of the process and the second write.
    const path = join(oci.root, id, "state.json");
    const state = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...state, pid: 0, startTicks: "0" }));
    assert.equal((await oci.state(id)).status, "creating");
    await oci.ok("delete", "-f", id);
    await until("its end", async () => !(await isAlive(pid)));
    assert.deepEqual(await cgroupsOf(id), []);
  });

  test("strangers in the cgroup of a creation that was killed before it looked are left alone", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const own = JSON.parse(await readFile(join(oci.root, id, "state.json"), "utf8"));
    // As the state file is before the plan runs: the configuration names the cgroup of another.
    const begun = { ...own, id: `${id}b`, pid: 0, startTicks: "0" };
    await mkdir(join(oci.root, begun.id));
    await writeFile(join(oci.root, begun.id, "state.json"), JSON.stringify(begun));
    assert.equal((await oci.state(begun.id)).status, "creating");
    await oci.call("kill", "--all", begun.id, "KILL");
    await oci.ok("delete", "-f", begun.id);
    assert.ok(await isAlive(pid));
    assert.equal((await oci.state(id)).status, "running");
    await oci.ok("delete", "-f", id);
    assert.deepEqual(await readdir(oci.root), []);
  });

  test("a folder without a state is nobody's: delete removes it, forced or not", async () => {
    for (const flags of [[], ["--force"]]) {
      await mkdir(join(oci.root, "empty"), { recursive: true });
      const { code } = await oci.call("delete", ...flags, "empty");
      assert.equal(code, flags.length > 0 ? 0 : 1);
      assert.deepEqual(await readdir(oci.root), []);
    }
  });

  test("a pid file that cannot be written is a failure that leaves nothing", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    for (const command of [["create"], ["run", "-d"]]) {
      const refused = oci.detached(...command, "--pid-file", "/nowhere/pid", "-b", bundle, id);
      await assert.rejects(refused, /\/nowhere\/pid/);
      assert.deepEqual(await readdir(oci.root), []);
      assert.deepEqual(await cgroupsOf(id), []);
    }
    await oci.detached("run", "-d", "-b", bundle, id);
    const exec = oci.detached("exec", "-d", "--pid-file", "/nowhere/pid", id, "sleep");
    await assert.rejects(exec, /\/nowhere\/pid/);
    const others = async () => JSON.parse(await oci.ok("ps", "-f", "json", id)).length - 1;
    await until("the end of what was started", async () => (await others()) === 0);
    await oci.ok("delete", "-f", id);
  });

  test("a state that is damaged, or of another version, is told of by its path", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const path = join(oci.root, id, "state.json");
    const text = await readFile(path, "utf8");
    for (const [content, why] of [
      ["", /state\.json is damaged/],
      [text.slice(0, -5), /state\.json is damaged/],
      ["null", /state\.json is of another version/],
      [JSON.stringify({ ...JSON.parse(text), version: 2 }), /state\.json is of another version/],
    ] as const) {
      await writeFile(path, content);
      for (const command of [["state"], ["kill"], ["delete", "-f"]]) {
        assert.match((await oci.call(...command, id)).stderr, why, `${command} ${content}`);
      }
    }
    await writeFile(path, text);
    await oci.ok("delete", "-f", id);
  });

  test("a pid that has become another's is never signalled", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const path = join(oci.root, id, "state.json");
    const text = await readFile(path, "utf8");
    const state = JSON.parse(text);
    await writeFile(path, JSON.stringify({ ...state, startTicks: String(state.startTicks - 1) }));
    assert.equal((await oci.state(id)).status, "stopped");
    assert.match((await oci.call("kill", id, "KILL")).stderr, /container not running/);
    assert.match((await oci.call("exec", id, "true")).stderr, /cannot exec in a stopped container/);
    assert.ok(await isAlive(pid));
    await writeFile(path, text);
    await oci.ok("delete", "-f", id);
  });

  test("a delete waits for a creation under way, and a second creation is refused", async () => {
    const { id, bundle, child, hook } = await halfMade("locked");
    const created = resultOf(child);
    const again = await oci.call("create", "-b", bundle, id);
    assert.match(again.stderr, /container with given ID already exists/);
    const deleting = oci.call("delete", "-f", id);
    // It has locked nothing yet: the creation is still there.
    assert.equal((await oci.state(id)).status, "creating");
    process.kill(hook, "SIGKILL");
    assert.match((await created).stderr, /hook \/bin\/sh: signal: Killed/);
    assert.equal((await deleting).code, 0);
    assert.deepEqual(await readdir(oci.root), []);
    assert.deepEqual(await cgroupsOf(id), []);
  });

  test("what cannot be restored kills nobody in the cgroup that its configuration names", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const images = oci.path("no-images");
    await mkdir(images);
    const facts = { version: 1, externals: [], pipes: {}, containerId: id };
    await writeFile(join(images, "gantry.json"), JSON.stringify(facts));
    const restored = ["restore", "-d", "--image-path", images, "-b", bundle, `${id}again`];
    const { code, stderr } = await oci.call("--criu", "/nowhere/criu", ...restored);
    assert.equal(code, 1);
    assert.ok(await isAlive(pid), stderr);
    assert.match(stderr, /container's cgroup is not empty: 1 process/);
    await oci.ok("delete", "-f", id);
  });

  test("what is paused, and cgroups within the container's own, go with it", async () => {
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    for (const controller of ["pids", "memory", "freezer"]) {
      await mkdir(join(await cgroupFolder(pid, controller), "a", "b"), { recursive: true });
    }
    const nested = ["--cgroup", "pids:a/b", "--cgroup", "memory:a"];
    const child = oci.spawn(["exec", ...nested, id, "seq", "echo up", "sleep"]);
    const ended = resultOf(child);
    await once(child.stdout!, "data");
    const inside = join(await cgroupFolder(pid, "pids"), "a", "b", "cgroup.procs");
    assert.notEqual(await readFile(inside, "utf8"), "");
    await oci.ok("pause", id);
    assert.match((await oci.call("delete", id)).stderr, /that is not stopped: paused/);
    await oci.ok("delete", "-f", id);
    assert.equal((await ended).code, 137);
    assert.deepEqual(await cgroupsOf(id), []);
    assert.ok(!(await isAlive(pid)));
  });
});

async function isAlive(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") X");
  return !/\) [ZX]/.test(text);
}
