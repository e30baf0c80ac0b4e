// Hooks of CDI devices in the engine's own containers: programs of the host at five points, one of
// the container at the sixth, each with the container's state on its stdin.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const skip = whyNoDaemon() || (!existsSync("/bin/sh") && "needs /bin/sh");
const ENV = ["PATH=/usr/bin:/bin"];

describe("hooks of CDI devices", { skip }, () => {
  let folder: string;
  let daemon: TestDaemon;
  const log = () => join(folder, "log");
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-hooks-"));
    const shell = (hookName: string, script: string, more: object = {}) => {
      return { hookName, path: "/bin/sh", args: ["sh", "-c", script], env: ENV, ...more };
    };
    const note = (point: string) =>
      shell(point, `echo "${point} $(cat)" >> ${log()}; cat /proc/self/cgroup > ${log()}.${point}`);
    const find = `sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p'`;
    const device = (name: string, ...hooks: object[]) => ({ name, containerEdits: { hooks } });
    const devices = [
      device(
        "all",
        ...["prestart", "createRuntime", "createContainer", "poststart", "poststop"].map(note),
        shell("createContainer", `bundle=$(${find}); echo made > "$bundle/rootfs/made"`),
        shell("createContainer", `bundle=$(${find}); test -s "$bundle/config.json"`),
        { hookName: "startContainer", path: "/bin/write", args: ["write", "/dev/shm/by", "hook"] },
      ),
      device("broken", shell("createContainer", "echo no such card >&2; exit 3"), note("poststop")),
      device("host", note("createRuntime"), note("poststop")),
      device("late", shell("poststart", "echo too late >&2; exit 4")),
      device("slow", shell("createRuntime", "sleep 600", { timeout: 1 })),
    ];
    const spec = { cdiVersion: "0.6.0", kind: "vendor.com/hook", devices };
    await writeFile(join(folder, "vendor.json"), JSON.stringify(spec));
    const args = ["--cdi-spec-dir", folder, "--userns-pool", "1879048192:131072"];
    daemon = await startDaemon({ client: "gantry", args });
  });
  after(async () => {
    await daemon?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const create = (device: string, ...command: string[]) =>
    daemon.ok("create", "--network", "none", "--device", `vendor.com/hook=${device}`, ...command);
  /** Points in their order, with the states that their hooks read. */
  async function heard(): Promise<[string, { status: string; pid: number; id: string }][]> {
    const lines = (await readFile(log(), "utf8").catch(() => "")).split("\n").filter(Boolean);
    return lines.map((line) => {
      const [point = ""] = line.split(" ", 1);
      return [point, JSON.parse(line.slice(point.length))];
    });
  }
  async function heardOf(point: string): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (!(await heard()).some(([name]) => name === point)) {
      if (Date.now() > deadline) throw new Error(`No hook ${point}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  test("run at their points, in the host or in the container", async () => {
    await rm(log(), { force: true });
    const id = await create("all", IMAGE, "sleep");
    await daemon.ok("start", id);
    assert.equal(await daemon.ok("exec", id, "cat", "/made"), "made");
    assert.equal(await daemon.ok("exec", id, "cat", "/dev/shm/by"), "hook");
    const pid = Number(await daemon.ok("inspect", "-f", "{{.State.Pid}}", id));
    // Its end is its monitor's affair: also without a daemon.
    await daemon.kill9();
    process.kill(pid, "SIGKILL");
    await heardOf("poststop");
    await daemon.start();
    await daemon.ok("rm", "-f", id);
    const told = (await heard()).map(([point, state]) => [
      point,
      state.status,
      state.pid,
      state.id,
    ]);
    assert.deepEqual(told, [
      ["prestart", "creating", pid, id],
      ["createRuntime", "creating", pid, id],
      ["createContainer", "creating", pid, id],
      ["poststart", "running", pid, id],
      ["poststop", "stopped", 0, id],
    ]);
    const groups = await readFile(`${log()}.createRuntime`, "utf8");
    assert.ok(!groups.includes(id), groups);
    assert.ok((await readFile(`${log()}.createContainer`, "utf8")).includes(id));
  });

  test("one that fails keeps the container from starting, and leaves nothing", async () => {
    await rm(log(), { force: true });
    const id = await create("broken", IMAGE, "sleep");
    const { code, stderr } = await daemon.client(["start", id]);
    assert.notEqual(code, 0);
    assert.match(stderr, /error running hook \/bin\/sh: exit status 3, .*no such card/);
    assert.equal(await daemon.ok("inspect", "-f", "{{.State.Status}}", id), "created");
    assert.deepEqual(
      (await heard()).map(([point]) => point),
      ["poststop"],
    );
    await daemon.ok("rm", id);
  });

  test("one that fails after the start ends the container", async () => {
    const id = await create("late", IMAGE, "sleep");
    const { code, stderr } = await daemon.client(["start", id]);
    assert.notEqual(code, 0);
    assert.match(stderr, /error running hook \/bin\/sh: exit status 4, .*too late/);
    assert.equal(await daemon.ok("inspect", "-f", "{{.State.Running}}", id), "false");
    await daemon.ok("rm", id);
  });

  test("one that takes too long is killed", async () => {
    const id = await create("slow", IMAGE, "sleep");
    const { stderr } = await daemon.client(["start", id]);
    assert.match(stderr, /hook \/bin\/sh ran past specified timeout of 1\.0s/);
    await daemon.ok("rm", id);
  });

  test("run beside a user namespace, but not within its mounts", async () => {
    await rm(log(), { force: true });
    const refused = await create("all", "--userns", "auto", IMAGE, "true");
    const { stderr } = await daemon.client(["start", refused]);
    assert.match(stderr, /hooks need the host's user namespace here: use --userns=host/);
    const id = await create("host", "--userns", "auto", IMAGE, "true");
    await daemon.ok("start", id);
    await heardOf("poststop");
    assert.deepEqual(
      (await heard()).map(([point]) => point),
      ["createRuntime", "poststop"],
    );
    await daemon.ok("rm", "-f", id, refused);
  });

  test("run at every start, and containers without them have no bundle", async () => {
    await rm(log(), { force: true });
    const id = await create("all", IMAGE, "true");
    for (let start = 0; start < 2; start++) {
      await daemon.ok("start", id);
      await daemon.ok("wait", id);
    }
    await daemon.ok("rm", id);
    const count = (await heard()).filter(([point]) => point === "createContainer").length;
    assert.equal(count, 2);
    const plain = await daemon.ok("create", "--network", "none", IMAGE, "true");
    await daemon.ok("start", plain);
    await daemon.ok("wait", plain);
    assert.equal(existsSync(join(daemon.folder, "data/containers", plain, "bundle")), false);
    await daemon.ok("rm", plain);
  });
});
