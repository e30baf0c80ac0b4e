// Hooks at their six points: in which namespaces they run and when, what they are given, what their
// failure does; and the life of a container around them, step by step.

import assert from "node:assert/strict";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { OciHook, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { namespaceOf, refused, started, within } from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const POINTS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
type Point = (typeof POINTS)[number];
type Hooks = NonNullable<OciSpec["hooks"]>;

describe("gantry-runtime's hooks", { skip }, () => {
  let oci: OciFixture;
  let log: string;
  before(async () => {
    oci = await OciFixture.make();
    log = oci.path("log");
  });
  beforeEach(() => rm(log, { force: true }));
  after(() => oci[Symbol.asyncDispose]());

  const shell = (script: string, more: Partial<OciHook> = {}): OciHook => {
    return { path: "/bin/sh", args: ["sh", "-c", script], ...more };
  };
  /** A line for each call: the point, then JSON of what the hook sees. */
  const telling = (point: Point): OciHook =>
    shell("", {
      args: [
        "sh",
        "-c",
        `read state; echo "$MARK" $0 $1 $(readlink /proc/self/ns/mnt) ` +
          `$(readlink /proc/self/ns/net) $(readlink /proc/self/ns/uts) "$state" >> ${log}`,
        point,
        "second",
      ],
      env: [`MARK=of-${point}`, "PATH=/bin:/usr/bin"],
    });
  const lines = async () =>
    (await readFile(log, "utf8").catch(() => ""))
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [mark = "", name = "", second = "", mnt = "", ...rest] = line.split(" ");
        const [net = "", uts = "", ...state] = rest;
        return { mark, name, second, mnt, net, uts, state: JSON.parse(state.join(" ")) };
      });
  const setHooks = (hooks: Partial<Hooks>) => (spec: OciSpec) => {
    spec.hooks = hooks as Hooks;
    spec.mounts!.push({ destination: "/hook", source: oci.path("."), options: ["rbind"] });
  };

  test(`each runs in its place and namespaces, with arguments, environment and state ${proves("config", "hooks", "hooks.prestart[]", "hooks.prestart[].path", "hooks.prestart[].args[]", "hooks.prestart[].env[]", "hooks.createRuntime[]", "hooks.createRuntime[].path", "hooks.createRuntime[].args[]", "hooks.createRuntime[].env[]", "hooks.createContainer[]", "hooks.createContainer[].path", "hooks.createContainer[].args[]", "hooks.createContainer[].env[]", "hooks.poststart[]", "hooks.poststart[].path", "hooks.poststart[].args[]", "hooks.poststart[].env[]", "hooks.poststop[]", "hooks.poststop[].path", "hooks.poststop[].args[]", "hooks.poststop[].env[]")} ${proves("state", "ociVersion", "id", "status", "pid", "bundle", "annotations")} ${proves("lifecycle", "1", "2", "3", "4", "5", "7", "8", "9", "10", "11")}`, async () => {
    const names: Point[] = [
      "prestart",
      "createRuntime",
      "createContainer",
      "poststart",
      "poststop",
    ];
    const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
      spec.annotations = { key: "a value" };
      const all = names.map((point) => [point, [telling(point), telling(point)]]);
      setHooks(Object.fromEntries(all))(spec);
    });
    await oci.detached("create", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const inside = await namespaceOf(pid, "mnt");
    const network = await namespaceOf(pid, "net");
    const uts = await namespaceOf(pid, "uts");
    const marks = async () => (await lines()).map(({ name }) => name);
    const created = ["prestart", "createRuntime", "createContainer"].flatMap((one) => [one, one]);
    assert.deepEqual(await marks(), created);
    // Nothing of the program has run.
    assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, "latin1"), /^sleep/);
    await oci.ok("start", id);
    assert.match(await readFile(`/proc/${pid}/cmdline`, "latin1"), /^sleep/);
    assert.deepEqual(await marks(), [...created, "poststart", "poststart"]);
    await oci.ok("kill", id, "KILL");
    await oci.ok("delete", "-f", id);
    const told = await lines();
    assert.deepEqual((await marks()).slice(-2), ["poststop", "poststop"]);
    const host = await namespaceOf("self", "mnt");
    for (const { mark, name, second, mnt, net, uts: names, state } of told) {
      assert.deepEqual([mark, second], [`of-${name}`, "second"]);
      const within = name === "createContainer";
      assert.equal(mnt, within ? inside : host, name);
      assert.equal(net === network, within, name);
      assert.equal(names === uts, within, name);
      const status =
        name === "poststart" ? "running" : name === "poststop" ? "stopped" : "creating";
      assert.equal(state.status, status, name);
      assert.deepEqual([state.id, state.bundle], [id, bundle]);
      assert.deepEqual(state.annotations, { key: "a value" });
      assert.match(state.ociVersion, /^1\./);
      if (name !== "poststop") assert.equal(state.pid, pid, name);
    }
  });

  test(`startContainer runs after start and before the program, by the container's own paths ${proves("config", "hooks.startContainer[]", "hooks.startContainer[].path", "hooks.startContainer[].args[]", "hooks.startContainer[].env[]")} ${proves("lifecycle", "6")}`, async () => {
    // The container's own program, with nothing but what it is given.
    const script = { path: "/bin/seq", args: ["seq", "env", "cat", "exit 1"], env: ["A=b"] };
    const marked = { path: "/bin/append", args: ["append", "/hook/marked", "hook"] };
    const told = await refused(oci, setHooks({ startContainer: [script] }));
    assert.match(told, /exit status 1, stdout and stderr: A=b\\n\{"ociVersion":/);
    const { id, bundle } = await oci.bundle(["append", "/hook/marked", "program"], (spec) => {
      setHooks({ startContainer: [marked, marked] })(spec);
    });
    await oci.detached("create", "-b", bundle, id);
    assert.ok(!(await readdir(oci.path("."))).includes("marked"));
    const { pid } = await oci.state(id);
    await oci.ok("start", id);
    await ended(pid);
    assert.equal(await readFile(oci.path("marked"), "utf8"), "hook\nhook\nprogram\n");
    await oci.ok("delete", id);
    await rm(oci.path("marked"));
  });

  const failing: { row: string; point: Point }[] = [
    { row: proves("config", "hooks.prestart[].timeout"), point: "prestart" },
    { row: proves("config", "hooks.createRuntime[].timeout"), point: "createRuntime" },
    { row: proves("config", "hooks.createContainer[].timeout"), point: "createContainer" },
  ];
  for (const { row, point } of failing) {
    test(`${point} that fails or takes too long ends the creation, whose last step are poststop's hooks ${row}`, async () => {
      const hook = shell("echo not me >&2; exit 3");
      const hooks = { [point]: [hook, telling(point)], poststop: [telling("poststop")] };
      const { id, bundle } = await oci.bundle(["sleep"], setHooks(hooks));
      const result = await oci.call("create", "-b", bundle, id);
      assert.equal(result.code, 1);
      assert.match(result.stderr, /exit status 3, stdout and stderr: not me/);
      assert.deepEqual(
        (await lines()).map(({ name }) => name),
        ["poststop"],
      );
      assert.match((await oci.call("state", id)).stderr, /does not exist/);
      const slow = { [point]: [shell("exec sleep 1000", { timeout: 1 })] };
      assert.match(await refused(oci, setHooks(slow)), /ran past specified timeout/);
    });
  }

  test(`startContainer that fails or takes too long leaves the container stopped ${proves("config", "hooks.startContainer[].timeout")}`, async () => {
    const hooks: OciHook[] = [
      { path: "/bin/exit", args: ["exit", "4"] },
      { path: "/bin/sleep", args: ["sleep", "1000"], timeout: 1 },
      { path: "/nothing/there" },
    ];
    const says = [/exit status 4/, /ran past specified timeout/, /nothing\/there/];
    for (const [index, hook] of hooks.entries()) {
      const change = setHooks({ startContainer: [hook] });
      const { id, bundle } = await oci.bundle(["append", "/hook/marked", "program"], change);
      await oci.detached("create", "-b", bundle, id);
      const { pid } = await oci.state(id);
      assert.match((await oci.call("start", id)).stderr, says[index]!);
      await ended(pid);
      assert.equal((await oci.state(id)).status, "stopped");
      assert.ok(!(await readdir(oci.path("."))).includes("marked"));
      await oci.ok("delete", id);
    }
  });

  test(`poststart that fails or takes too long ends the container ${proves("config", "hooks.poststart[].timeout")}`, async () => {
    for (const hook of [shell("exit 5"), shell("exec sleep 1000", { timeout: 1 })]) {
      const { id, bundle } = await oci.bundle(["sleep"], setHooks({ poststart: [hook] }));
      await oci.detached("create", "-b", bundle, id);
      const { pid } = await oci.state(id);
      assert.match((await oci.call("start", id)).stderr, /exit status 5|specified timeout/);
      await ended(pid);
      assert.equal((await oci.state(id)).status, "stopped");
      await oci.ok("delete", id);
    }
  });

  test(`poststop that fails or takes too long is told of, and the next one runs ${proves("config", "hooks.poststop[].timeout")}`, async () => {
    const slow = shell("exec sleep 1000", { timeout: 1 });
    const hooks = { poststop: [shell("exit 6"), slow, telling("poststop")] };
    const container = await started(oci, setHooks(hooks));
    const { code, stderr } = await oci.call("delete", "-f", container.id);
    assert.equal(code, 0);
    assert.match(stderr, /exit status 6/);
    assert.match(stderr, /specified timeout/);
    assert.deepEqual(
      (await lines()).map(({ name }) => name),
      ["poststop"],
    );
    assert.match((await oci.call("state", container.id)).stderr, /does not exist/);
  });

  test("a hook need not read its state, and may leave children behind", async () => {
    const deaf = shell("exec < /dev/null; exit 0");
    const parent = shell("sleep 0.2 & exit 0");
    await within(oci, setHooks({ prestart: [deaf], createContainer: [parent] }), async ({ id }) => {
      assert.equal((await oci.state(id)).status, "running");
    });
  });

  test("a hook that cannot be run as it is given is refused", async () => {
    const cases: [OciHook, RegExp][] = [
      [{ path: "sh" }, /hook.*not absolute/],
      [{ path: "" }, /hook.*not absolute/],
      [{ path: "/bin/sh", timeout: 0 }, /timeout/],
      [{ path: "/bin/sh", timeout: -1 }, /timeout/],
      [{ path: "/nothing/there" }, /nothing\/there/],
    ];
    for (const [hook, says] of cases) {
      assert.match(await refused(oci, setHooks({ createRuntime: [hook] })), says);
    }
    assert.deepEqual(await readdir(join(oci.root)).catch(() => []), []);
  });
});

/** Resolves when a process is gone or a zombie. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") X");
    if (/\) [ZX]/.test(text)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
