// The monitor seen through its socket, on the real kernel: streams, hold, logs, exits, execs, and
// what remains when spawner and daemon are gone.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connectMonitor, readExitRecord } from "../../src/native/index.ts";
import { demultiplex, execPlan, NativeFixture, readAll } from "../support/native-fixture.ts";

const ALL = { stdin: true, stdout: true, stderr: true };
const OUTPUT = { stdin: false, stdout: true, stderr: true };

test("a container's output reaches its log and its exit is reported and recorded", async () => {
  await using native = await NativeFixture.make();
  const { monitor, id } = await native.start(["seq", "echo one", "err two", "hostname", "exit 7"]);
  const exit = await monitor.exited;
  assert.equal(exit.code, 7);
  assert.equal(exit.signal, 0);
  assert.equal(exit.oomKilled, false);
  const recorded = await readExitRecord(native.path(`${id}.exit`));
  assert.deepEqual(recorded, exit);
  const lines = await native.log(id);
  const of = (name: string) => lines.filter(({ stream }) => stream === name).map(({ log }) => log);
  assert.deepEqual(of("stdout"), ["one\n", "boxed (none)\n"]);
  assert.deepEqual(of("stderr"), ["two\n"]);
  assert.match(lines[0]!.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  await monitor.closed;
  assert.equal(existsSync(native.path(`${id}.sock`)), false);
});

test("held output waits for release, so an attach after the start misses nothing", async () => {
  await using native = await NativeFixture.make();
  const { monitor, id } = await native.start(["echo", "early"], { holdMs: 30_000 });
  const stream = await monitor.attach("", OUTPUT);
  monitor.release();
  assert.deepEqual(demultiplex(await readAll(stream)), { stdout: "early\n", stderr: "" });
  assert.equal((await monitor.exited).code, 0);
  assert.equal((await native.log(id))[0]?.log, "early\n");
});

test("standard input flows, and its end closes it once with StdinOnce", async () => {
  await using native = await NativeFixture.make();
  const { monitor } = await native.start(["cat"], { openStdin: true, stdinOnce: true });
  const stream = await monitor.attach("", ALL);
  const big = Buffer.alloc(3_000_000, "0123456789abcde\n");
  stream.end(big);
  const { stdout } = demultiplex(await readAll(stream));
  assert.equal(stdout.length, big.length);
  assert(Buffer.from(stdout).equals(big));
  assert.equal((await monitor.exited).code, 0);
});

test("without StdinOnce the input stays open when a client leaves", async () => {
  await using native = await NativeFixture.make();
  const { monitor } = await native.start(["cat"], { openStdin: true });
  const first = await monitor.attach("", ALL);
  first.write("first\n");
  await once(first, "readable");
  first.destroy();
  const second = await monitor.attach("", ALL);
  second.write("second\n");
  await once(second, "readable");
  assert.match(String(second.read()), /second/);
  await monitor.kill("", 9);
  const exit = await monitor.exited;
  assert.equal(exit.code, 137);
  assert.equal(exit.signal, 9);
});

test("a client that reads slowly gets every byte, and so does another", async () => {
  await using native = await NativeFixture.make();
  const { monitor } = await native.start(["lines", "20000"], { holdMs: 30_000 });
  const [slow, quick] = [await monitor.attach("", OUTPUT), await monitor.attach("", OUTPUT)];
  monitor.release();
  const reading = readAll(quick);
  const chunks: Buffer[] = [];
  for await (const chunk of slow) {
    chunks.push(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(demultiplex(Buffer.concat(chunks)), demultiplex(await reading));
  assert.equal((await monitor.exited).code, 0);
});

test("a client that vanishes delays nobody", async () => {
  await using native = await NativeFixture.make();
  const { monitor, id } = await native.start(["lines", "20000"], { holdMs: 30_000 });
  const gone = await monitor.attach("", OUTPUT);
  gone.on("error", () => {});
  monitor.release();
  await once(gone, "readable");
  gone.destroy();
  assert.equal((await monitor.exited).code, 0);
  assert.equal((await native.log(id)).length, 20_000);
});

test("a terminal is raw bytes, can be resized, and its output is logged as stdout", async () => {
  await using native = await NativeFixture.make();
  const options = { terminal: true, openStdin: true, holdMs: 30_000 };
  const { monitor, id } = await native.start(["seq", "tty", "cat"], options);
  const stream = await monitor.attach("", ALL);
  await monitor.resize("", 50, 132);
  monitor.release();
  stream.write("typed\r");
  await once(stream, "readable");
  stream.write("\x04");
  const text = String(await readAll(stream));
  assert.match(text, /typed\r\n/);
  assert.equal((await monitor.exited).code, 0);
  assert((await native.log(id)).every((line) => line.stream === "stdout"));
});

test("an exec runs inside, with streams and an exit of its own", async () => {
  await using native = await NativeFixture.make();
  const { monitor, created } = await native.start(["hold"], { openStdin: true });
  const options = { terminal: false, openStdin: true, holdMs: 30_000 };
  const plan = execPlan(created.pid, ["seq", "hostname", "cat", "exit 5"], true);
  const { pid, exited } = await monitor.exec("e1", plan, options);
  assert.notEqual(pid, created.pid);
  const stream = await monitor.attach("e1", ALL);
  monitor.release("e1");
  stream.end("to the exec\n");
  assert.equal(demultiplex(await readAll(stream)).stdout, "boxed (none)\nto the exec\n");
  assert.equal((await exited).code, 5);
  const killed = await monitor.exec("e2", execPlan(created.pid, ["sleep", "100"]), options);
  await monitor.kill("e2", 9);
  monitor.release("e2");
  assert.equal((await killed.exited).signal, 9);
});

test("an exec that cannot start says which program, and harms nothing", async () => {
  await using native = await NativeFixture.make();
  const { monitor, created } = await native.start(["hold"], { openStdin: true });
  const options = { terminal: false, openStdin: false, holdMs: 0 };
  const exec = monitor.exec("e1", execPlan(created.pid, ["no-such-program"]), options);
  await assert.rejects(exec, (error: Error & { detail?: Record<string, unknown> }) => {
    assert.equal(error.detail?.["errno"], "ENOENT");
    assert.match(error.message, /exec: "no-such-program": executable file not found in \$PATH/);
    return true;
  });
  const { exited } = await monitor.exec("e1", execPlan(created.pid, ["true"]), options);
  assert.equal((await exited).code, 0);
});

test("execs in parallel each get their own answer", async () => {
  await using native = await NativeFixture.make();
  const { monitor, created } = await native.start(["hold"], { openStdin: true });
  const options = { terminal: false, openStdin: false, holdMs: 0 };
  const codes = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const plan = execPlan(created.pid, ["exit", String(i)]);
      const { exited } = await monitor.exec(`e${i}`, plan, options);
      return (await exited).code;
    }),
  );
  assert.deepEqual(codes, [...codes.keys()]);
});

test("a container survives spawner and daemon, and a new daemon finds it again", async () => {
  await using native = await NativeFixture.make();
  // The daemon is a process of its own here, killed as hard as can be.
  const daemon = fileURLToPath(new URL("../support/native-daemon.ts", import.meta.url));
  const child = spawn(process.execPath, [daemon, native.root], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { spawnerPid, socketPath } = JSON.parse(String(line)) as {
    spawnerPid: number;
    socketPath: string;
  };
  child.kill("SIGKILL");
  await once(child, "exit");
  const monitor = await connectMonitor(socketPath);
  await gone(Number(spawnerPid));
  const stream = await monitor.attach("", ALL);
  stream.write("still here\n");
  await once(stream, "readable");
  assert.match(String(stream.read()), /still here/);
  await monitor.kill("", 9);
  assert.equal((await monitor.exited).signal, 9);
  await monitor.closed;
});

async function gone(pid: number): Promise<void> {
  for (;;) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State:\tZ");
    if (/State:\s+[ZX]/.test(status)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("the log rotates by size, keeps so many files, and splits long lines like docker", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("r.log");
  const log = { path, maxBytes: 4000, maxFiles: 3, attrs: '{"tag":"x"}' };
  const { monitor } = await native.start(["lines", "200"], { log });
  await monitor.exited;
  const names = (await readdir(native.root)).filter((name) => name.startsWith("r.log")).sort();
  assert.deepEqual(names, ["r.log", "r.log.000003", "r.log.000004", "r.log.000005"]);
  const last = (await readFile(path, "utf8")).trimEnd().split("\n").at(-1)!;
  assert.deepEqual(JSON.parse(last).attrs, { tag: "x" });

  const cat = await native.start(["cat"], { openStdin: true, stdinOnce: true });
  const stream = await cat.monitor.attach("", ALL);
  stream.end(`${"x".repeat(40_000)}\n\ttab <&> \u2028 "quoted"\n${"no newline"}`);
  await readAll(stream);
  await cat.monitor.exited;
  const lines = await native.log(cat.id);
  assert.deepEqual(
    lines.map(({ log }) => log.length),
    [16384, 16384, 40_000 - 2 * 16384 + 1, 20, 10],
  );
  assert.equal(lines[0]!.time, lines[2]!.time);
  const raw = await readFile(native.path(`${cat.id}.log`), "utf8");
  assert(raw.includes('"\\u0009tab \\u003c\\u0026\\u003e \\u2028 \\"quoted\\"\\n"'));
});

test("output that is not UTF-8 is replaced, as Go's encoder does", async () => {
  await using native = await NativeFixture.make();
  const { monitor, id } = await native.start(["cat"], { openStdin: true, stdinOnce: true });
  const stream = await monitor.attach("", ALL);
  stream.end(Buffer.from([0x61, 0xff, 0xe2, 0x82, 0x0a, 0xf0, 0x9f, 0x98, 0x80, 0x0a]));
  await readAll(stream);
  await monitor.exited;
  assert.deepEqual(
    (await native.log(id)).map(({ log }) => log),
    ["a\ufffd\ufffd\ufffd\n", "😀\n"],
  );
});
