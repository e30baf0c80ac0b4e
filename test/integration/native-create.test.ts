// The creation of a container as a whole: what a failure of any operation leaves (nothing), what
// the new process can reach of its makers (nothing), cancellation, deadlines, OOM kills.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, readlink, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { GantryError } from "../../src/base/index.ts";
import {
  connectMonitor,
  initProgramPath,
  nativeProgramPath,
  type Operation,
  type Plan,
  type PlanFailure,
} from "../../src/native/index.ts";
import { containerPlan, execPlan, NativeFixture } from "../support/native-fixture.ts";

/** An emulated processor starts them slower than a monitor waits to be asked. */
const CONTAINERS = process.env["GANTRY_VM"] ? 8 : 40;

let native: NativeFixture;
before(async () => {
  native = await NativeFixture.make();
});
after(() => native[Symbol.asyncDispose]());

async function failureOf(promise: Promise<unknown>): Promise<PlanFailure & { message: string }> {
  const error = await promise.then(
    () => assert.fail("the plan succeeded"),
    (reason: GantryError) => reason,
  );
  return { ...(error.detail as unknown as PlanFailure), message: error.message };
}

/** Processes whose root or command is this test's: what a container would leave. */
async function leftovers(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const root = await readlink(`/proc/${pid}/root`).catch(() => "");
    const command = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (root.startsWith(native.root) || command.startsWith("hold")) found.push(`${pid} ${command}`);
  }
  return found;
}

test("whatever operation of a create fails, nothing is left behind", async () => {
  const config = native.config("failing", { openStdin: true });
  const marker = native.path("marker");
  const base = containerPlan(native.rootfs, ["hold"], config);
  const plan: Plan = {
    ...base,
    host: [{ op: "mkdir", path: marker, mode: 0o755 }, ...base.host],
    teardown: [{ op: "rmdir", path: marker, missingOk: true }],
  };
  const mountsBefore = await readFile("/proc/self/mountinfo", "utf8");
  for (const half of ["host", "container"] as const) {
    for (let index = 0; index < plan[half].length; index++) {
      const failure = await failureOf(
        native.spawner.create({ ...plan, failAt: { half, index, errno: 5 } }, config),
      );
      assert.deepEqual(
        [failure.half, failure.index, failure.errno, failure.operation],
        [half, index, "EIO", plan[half][index]],
      );
      assert.deepEqual(failure.teardown, []);
      assert.equal(existsSync(marker), false, `${half} ${index} left the folder`);
      assert.equal(existsSync(config.socketPath), false, `${half} ${index} left the socket`);
    }
  }
  assert.deepEqual(await leftovers(), []);
  assert.equal(await readFile("/proc/self/mountinfo", "utf8"), mountsBefore);
});

test("a failing teardown operation is named, and the others still run", async () => {
  const config = native.config("badly-torn");
  const marker = native.path("marker2");
  const base = containerPlan(native.rootfs, ["no-such-program"], config);
  const plan: Plan = {
    ...base,
    host: [{ op: "mkdir", path: marker, mode: 0o755 }, ...base.host],
    teardown: [
      { op: "umount", path: "/not/mounted" },
      { op: "rmdir", path: marker },
    ],
  };
  const failure = await failureOf(native.spawner.create(plan, config));
  assert.equal(failure.half, "container");
  assert.deepEqual(failure.teardown, [{ index: 0, errno: "ENOENT" }]);
  assert.equal(existsSync(marker), false);
});

test("programs that cannot be run are told apart as docker tells them apart", async () => {
  await writeFile(join(native.rootfs, "bin/plain"), "no program");
  await writeFile(join(native.rootfs, "bin/garbage"), "\x7fNOTELF", { mode: 0o755 });
  await writeFile(join(native.rootfs, "bin/script"), "#!/no/interpreter\n", { mode: 0o755 });
  const cases: [string, string, RegExp][] = [
    ["missing", "ENOENT", /exec: "missing": executable file not found in \$PATH/],
    ["/missing", "ENOENT", /exec: "\/missing": stat \/missing: no such file or directory/],
    ["plain", "EACCES", /exec: "plain": permission denied/],
    ["/bin", "EACCES", /exec: "\/bin": is a directory/],
    ["garbage", "ENOEXEC", /exec format error/],
    ["script", "ENOENT", /exec script: no such file or directory/],
  ];
  for (const [name, errno, text] of cases) {
    const config = native.config("unrunnable");
    const plan = containerPlan(native.rootfs, [name], config);
    const failure = await failureOf(native.spawner.create(plan, config));
    assert.deepEqual([failure.half, failure.operation?.op], ["container", "execve"]);
    assert.equal(failure.errno, errno, name);
    assert.match(failure.message, text);
  }
});

test("words in the place of a program are said on standard error, and end with their code", async () => {
  const words: Operation = { op: "sayAndExit", text: "cannot\n", code: 255 };
  const base = containerPlan(native.rootfs, ["true"], native.config("words"));
  const container = [...base.container.slice(0, -1), words];
  const { monitor, id } = await native.start(["true"], { container });
  assert.equal((await monitor.exited).code, 255);
  await monitor.closed;
  const said = await native.log(id);
  assert.deepEqual([said.at(-1)?.stream, said.at(-1)?.log], ["stderr", "cannot\n"]);
});

test("words that nobody reads keep no descriptor of the host, and no start from being known", async () => {
  const text = `${"x".repeat(1 << 17)}\n`;
  const base = containerPlan(native.rootfs, ["true"], native.config("unread"));
  // A pipe whose other end only the two halves have: it is full at once.
  const host: Operation[] = [{ op: "pipe", read: 20, write: 21 }, ...base.host];
  const container: Operation[] = [
    ...base.container.slice(0, -1),
    { op: "dup2", slot: 21, fd: 2 },
    { op: "sayAndExit", text, code: 255 },
  ];
  const { monitor } = await native.start(["true"], { host, container, deadlineMs: 5_000 });
  assert.equal((await monitor.exited).code, 255);
  await monitor.closed;
});

test("an end of either half ends the other", async () => {
  const config = native.config("halves");
  const base = containerPlan(native.rootfs, ["hold"], config);
  const waits: Plan = { ...base, host: [...base.host, { op: "awaitPeer", point: 9 }] };
  const early: Plan = {
    ...waits,
    container: [
      { op: "signalPeer", point: 1 },
      { op: "kill", slot: 63, signal: 9 },
    ],
  };
  const failure = await failureOf(native.spawner.create(early, config));
  assert.deepEqual([failure.half, failure.index, failure.errno], ["container", 1, "ESRCH"]);
  const never: Plan = { ...base, deadlineMs: 300, container: [{ op: "awaitPeer", point: 3 }] };
  assert.equal((await failureOf(native.spawner.create(never, config))).errno, "ETIMEDOUT");
  assert.deepEqual(await leftovers(), []);
});

test("slots and barriers pass between the halves in both directions", async () => {
  const config = native.config("slots");
  const base = containerPlan(native.rootfs, ["true"], config);
  const plan: Plan = {
    ...base,
    host: [
      ...base.host,
      { op: "memfd", name: "given", data: new TextEncoder().encode("content"), to: 40 },
      { op: "sendSlot", slot: 40 },
      { op: "sendSlot", slot: 11 },
      { op: "signalPeer", point: 5 },
      { op: "awaitPeer", point: 6 },
      { op: "receiveSlot", to: 41 },
      { op: "stat", slot: 41 },
    ],
    container: [
      { op: "awaitPeer", point: 5 },
      { op: "receiveSlot", to: 42 },
      { op: "receiveSlot", to: 43 },
      { op: "signalPeer", point: 6 },
      { op: "sendSlot", slot: 42 },
      ...base.container,
    ],
  };
  const { results } = await native.spawner.create(plan, config);
  assert.equal(results.ints(plan.host.length - 1)[5], 7n);
  const monitor = await connectMonitor(config.socketPath);
  assert.equal((await monitor.exited).code, 0);
  await monitor.closed;
});

test("an aborted create leaves nothing, and a late abort changes nothing", async () => {
  const config = native.config("aborted");
  const base = containerPlan(native.rootfs, ["hold"], config);
  const controller = new AbortController();
  const marker = native.path("marker3");
  const creating = native.spawner.create(
    {
      ...base,
      host: [
        { op: "mkdir", path: marker, mode: 0o755 },
        ...base.host,
        { op: "awaitPeer", point: 1 },
      ],
      teardown: [{ op: "rmdir", path: marker }],
      container: [{ op: "awaitPeer", point: 2 }],
    },
    config,
    { signal: controller.signal },
  );
  while (!existsSync(marker)) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  assert.equal((await failureOf(creating)).errno, "ECANCELED");
  assert.equal(existsSync(marker), false);
  assert.deepEqual(await leftovers(), []);
});

test("nothing of the makers can be reached: descriptors, program, memory", async () => {
  const { created, monitor } = await native.start(["cat"], { openStdin: true });
  const folder = `/proc/${created.pid}/fd`;
  const open = (await readdir(folder)).map(Number).sort((a, b) => a - b);
  assert.deepEqual(open, [0, 1, 2]);
  for (const fd of open) assert.match(await readlink(`${folder}/${fd}`), /^pipe:/);
  for (const pid of [native.spawner.pid, created.monitorPid]) {
    assert.match(await readlink(`/proc/${pid}/exe`), /^\/memfd:gantry-native/);
  }
  await assert.rejects(writeFile(`/proc/${created.monitorPid}/exe`, "x"), /ETXTBSY|EPERM/);
  // An exec's own life inside the container starts with descriptors 0 to 2 as well.
  const options = { terminal: false, openStdin: true, holdMs: 0 };
  const exec = await monitor.exec("look", execPlan(created.pid, ["cat"], true), options);
  assert.deepEqual((await readdir(`/proc/${exec.pid}/fd`)).sort(), ["0", "1", "2"]);
  const status = await readFile(`/proc/${created.pid}/status`, "utf8");
  assert.match(status, /SigBlk:\t0{16}/);
  assert.match(status, /SigIgn:\t0{16}/);
  assert.match(status, /Umask:\t0022/);
  await monitor.kill("", 9);
  await monitor.exited;
});

test("the monitor holds no standard stream of the daemon and little memory", async (t) => {
  const { created, monitor } = await native.start(["hold"], { openStdin: true });
  for (const fd of [0, 1, 2]) {
    assert.equal(await readlink(`/proc/${created.monitorPid}/fd/${fd}`), "/dev/null");
  }
  const rollup = await readFile(`/proc/${created.monitorPid}/smaps_rollup`, "utf8");
  const pssKib = Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]);
  t.diagnostic(`PSS of the monitor: ${pssKib} KiB`);
  assert(pssKib <= 512, `PSS of ${pssKib} KiB`);
  await monitor.kill("", 9);
  await monitor.exited;
});

test("many containers at once each get their own answer", async () => {
  const running = await Promise.all(
    Array.from({ length: CONTAINERS }, (_, i) => native.start(["exit", String(i)])),
  );
  const codes = await Promise.all(running.map(async ({ monitor }) => (await monitor.exited).code));
  assert.deepEqual(codes, [...codes.keys()]);
});

test("an OOM kill is seen", async (t) => {
  const memory = await memoryCgroup();
  if (memory === undefined) return t.skip("no cgroup v1 memory controller here");
  const folder = join(memory, `gantry-oom-${process.pid}`);
  await mkdir(folder);
  try {
    await writeFile(join(folder, "memory.limit_in_bytes"), String(16 << 20));
    const config = native.config("oom", { oomPath: join(folder, "memory.oom_control") });
    const base = containerPlan(native.rootfs, ["eat", String(256 << 20)], config);
    const attach: Operation = { op: "writeSlot", path: join(folder, "cgroup.procs"), slot: 11 };
    const plan: Plan = {
      host: [...base.host, attach, { op: "signalPeer", point: 1 }],
      container: [{ op: "awaitPeer", point: 1 }, ...base.container],
      teardown: [{ op: "rmdir", path: folder, retryMs: 2000 }],
    };
    await native.spawner.create(plan, config);
    const monitor = await connectMonitor(config.socketPath);
    const exit = await monitor.exited;
    assert.deepEqual([exit.code, exit.signal, exit.oomKilled], [137, 9, true]);
    await monitor.closed;
    assert.equal(existsSync(folder), false, "teardown runs when the container has exited");
  } finally {
    await rmdir(folder).catch(() => {});
  }
});

async function memoryCgroup(): Promise<string | undefined> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const mount = mounts.split("\n").find((line) => / - cgroup \S+ \S*\bmemory\b/.test(line));
  const own = /^\d+:(?:\S+,)?memory(?:,\S+)?:(.*)$/m.exec(
    await readFile("/proc/self/cgroup", "utf8"),
  );
  if (!mount || !own) return undefined;
  const [, , , root, point] = mount.split(" ");
  const path = own[1]!.startsWith(root!) ? own[1]!.slice(root!.length) : own[1]!;
  return join(point!, path);
}

test("without a daemon the native program explains itself", () => {
  assert.throws(
    () => execFileSync(nativeProgramPath, [], { stdio: "pipe" }),
    /usage: gantry-native/,
  );
});

test("gantry-init reaps orphans, forwards signals and ends as its program ended", async () => {
  await copyFile(initProgramPath, join(native.rootfs, "bin/gantry-init"));
  const under = (...argv: string[]) => ["/bin/gantry-init", "--", ...argv];
  const exits = await native.start(under("exit", "9"));
  assert.equal((await exits.monitor.exited).code, 9);
  const missing = await native.start(under("no-such-program"));
  assert.equal((await missing.monitor.exited).code, 127);
  const killed = await native.start(under("sleep", "1000"));
  const { pid } = killed.created;
  const children = `/proc/${pid}/task/${pid}/children`;
  while ((await readFile(children, "utf8")) === "") await new Promise((r) => setImmediate(r));
  const child = Number(await readFile(children, "utf8"));
  while (!(await readFile(`/proc/${child}/comm`, "utf8")).startsWith("sleep")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  await killed.monitor.kill("", 10); // SIGUSR1 has no handler there: the program dies of it
  assert.equal((await killed.monitor.exited).code, 138);
});
