// The monitor's side of a log, on the real kernel: generations, records, what a crash or a full
// disk leaves, a spool that waits for its shipper, and a disk that stands still.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { appendFile, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { binaryFormat } from "../../src/engine/logs/binary-format.ts";
import { LogChanges } from "../../src/engine/logs/changes.ts";
import { listGenerations } from "../../src/engine/logs/generations.ts";
import { newView } from "../../src/engine/logs/record.ts";
import { listSpool, releaseHeld, walkSpool } from "../../src/engine/logs/spool.ts";
import { openFiles, walk } from "../../src/engine/logs/walk.ts";
import type { MonitorLog } from "../../src/native/index.ts";
import { within } from "../support/deadline.ts";
import { NativeFixture, readAll } from "../support/native-fixture.ts";

const ALL = { stdin: true, stdout: true, stderr: true };
const LINE = Buffer.from(Array.from({ length: 63 }, (_, n) => 48 + n));
const LINES_OF_A_MEGABYTE = 2 ** 20 / 64;

interface Entry {
  text: Buffer;
  ended: boolean;
  ordinal: number;
  stream: number;
}

async function entriesOf(path: string): Promise<Entry[]> {
  const found: Entry[] = [];
  const start = { file: 0, offset: 0 };
  const files = await openFiles(path, true);
  for await (const { data } of walk(path, files, start, { binary: true })) collect(data, found);
  return found;
}

function collect(data: Buffer, found: Entry[]): void {
  const view = newView();
  for (let at = 0; at < data.length; at = view.next) {
    assert.equal(binaryFormat.read(data, at, data.length, view), "whole");
    const { ended, ordinal, stream } = view;
    found.push({
      text: Buffer.from(data.subarray(view.textStart, view.textEnd)),
      ended,
      ordinal,
      stream,
    });
  }
}

const logAt = (path: string, more: Partial<MonitorLog> = {}): { log: MonitorLog } => ({
  log: { path, maxBytes: 0, maxFiles: 1, attrs: "", format: "binary", ...more },
});

async function echoThrough(
  native: NativeFixture,
  input: Buffer | string,
  log: { log: MonitorLog },
) {
  const { monitor } = await native.start(["cat"], { openStdin: true, stdinOnce: true, ...log });
  const stream = await monitor.attach("", ALL);
  stream.end(input);
  await readAll(stream);
  await monitor.exited;
  await monitor.closed;
}

test("binary records hold every byte; a line of 10 MB is in numbered parts of 16 KiB", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("b.log");
  const long = Buffer.alloc(10_000_000, "0123456789abcdef\0");
  const odd = Buffer.from([0, 0xff, 0xe2, 0x82]);
  await echoThrough(
    native,
    Buffer.concat([odd, Buffer.from("\n"), long, Buffer.from("\nend")]),
    logAt(path),
  );
  const entries = await entriesOf(path);
  assert.deepEqual(entries[0], { text: odd, ended: true, ordinal: 0, stream: 1 });
  const parts = entries.slice(1, -1);
  assert.equal(parts.length, Math.ceil(long.length / 16384));
  assert(parts.every(({ ordinal }, n) => ordinal === n + 1));
  assert(parts.slice(0, -1).every(({ ended, text }) => !ended && text.length === 16384));
  assert.equal(parts.at(-1)!.ended, true);
  assert(Buffer.concat(parts.map(({ text }) => text)).equals(long));
  assert.equal(String(entries.at(-1)!.text), "end");
});

test("a letter of several bytes is whole wherever a JSON line is cut", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("j.log");
  const text = `x${"é😀".repeat(10_000)}`;
  await echoThrough(native, `${text}\n`, logAt(path, { format: "json" }));
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  assert.equal(lines.map((line) => JSON.parse(line).log).join(""), `${text}\n`);
  assert(lines.length > 1);
});

for (const format of ["json", "binary"] as const) {
  test(`half an entry that a crash has left is cut off at the next start (${format})`, async () => {
    await using native = await NativeFixture.make();
    const path = native.path("t.log");
    await echoThrough(native, "one\ntwo\n", logAt(path, { format }));
    const whole = await readFile(`${path}.000001`);
    const half = whole.subarray(format === "json" ? 0 : 8).subarray(0, 19);
    await appendFile(`${path}.000001`, half);
    await echoThrough(native, "three\n", logAt(path, { format }));
    const repaired = await readFile(`${path}.000001`);
    assert(repaired.subarray(0, whole.length).equals(whole));
    const shown = (await textsOf(path, format)).join();
    assert.equal(shown, "one,two,three");
  });
}

async function textsOf(path: string, format: "json" | "binary"): Promise<string[]> {
  if (format === "binary") return (await entriesOf(path)).map(({ text }) => String(text));
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line).log.trimEnd());
}

test("a log of before there were generations becomes the first of them", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("f.log");
  const former = '{"log":"former\\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}\n';
  await writeFile(path, former);
  await echoThrough(native, "new\n", logAt(path, { format: "json" }));
  assert.equal((await readFile(`${path}.000001`, "utf8")).split("\n").length, 3);
  assert.equal((await stat(path)).ino, (await stat(`${path}.000001`)).ino);
});

/** Reads as a shipper does, and says after each block how far it is. */
async function ship(path: string, o: { ended: () => boolean; found: Entry[] }): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  let changed = Promise.withResolvers<void>();
  const watcher = watch(folder, () => changed.resolve());
  const wake = {
    get ended() {
      return o.ended();
    },
    async next() {
      await within(() => "a change of the log's folder", changed.promise);
      changed = Promise.withResolvers();
    },
  };
  const files = await openFiles(path, true);
  const start = { file: 0, offset: 0 };
  for await (const { file, start: at, data } of walk(path, files, start, { binary: true, wake })) {
    collect(data, o.found);
    await writeFile(`${path}.tmp`, `${file.number}:${at + data.length}`);
    await rename(`${path}.tmp`, `${path}.shipped`);
  }
  watcher.close();
}

test("with a full spool a container waits, and goes on as its log is shipped", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("s/s.log");
  await mkdir(native.path("s"));
  const spool = { maxBytes: 65536, maxFiles: 2, spoolBytes: 262144, blocking: true };
  const full = Promise.withResolvers<void>();
  const watcher = watch(native.path("s"), () => {
    if (existsSync(`${path}.000004`)) full.resolve();
  });
  const { monitor } = await native.start(["spam", "3000000"], logAt(path, spool));
  await within(() => "a fourth file", full.promise);
  watcher.close();
  let ended = false;
  void monitor.exited.then(async () => {
    ended = true;
    await writeFile(native.path("s/ended"), "");
  });
  const found: Entry[] = [];
  assert((await spoolBytes(native.path("s"))) < 3_000_000);
  await ship(path, { ended: () => ended, found });
  assert.equal(found.length, 3_000_000 / 64);
  assert(found.every(({ text }) => text.equals(LINE)));
  const names = (await readdir(native.path("s"))).filter((name) => /\d$/.test(name));
  // What fits in the spool, and the one that has been shipped to its end.
  assert(names.length <= 5, `kept ${names}`);
});

async function spoolBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await stat(`${folder}/${name}`)).size;
  return sum;
}

test("a full spool that must not block drops the oldest files, and counts their lines", async () => {
  await using native = await NativeFixture.make();
  const path = native.path("n.log");
  const spool = { maxBytes: 65536, maxFiles: 2, spoolBytes: 262144, blocking: false };
  const { monitor } = await native.start(["spam", String(2 ** 20)], logAt(path, spool));
  assert.equal((await monitor.exited).code, 0);
  const left = await entriesOf(path);
  const dropped = Number(await readFile(`${path}.dropped`, "utf8"));
  assert(dropped > 0 && left.length > 0);
  assert.equal(dropped + left.length, LINES_OF_A_MEGABYTE);
});

test("what its driver holds is shipped to its end, and not counted as dropped", async () => {
  await using native = await NativeFixture.make();
  await mkdir(native.path("h"));
  const path = native.path("h/h.log");
  const spool = { maxBytes: 65536, maxFiles: 2, spoolBytes: 262144, blocking: false };
  const options = { openStdin: true, stdinOnce: true, ...logAt(path, spool) };
  const { monitor } = await native.start(["cat"], options);
  const stream = await monitor.attach("", ALL);
  const ending = new AbortController();
  using wake = new LogChanges(path, { signal: ending.signal });
  const steps = walkSpool(path, undefined, { binary: true, wake });
  const shipped: Entry[] = [];
  stream.write(`${LINE}\n`);
  collect((await steps.next()).value!.data, shipped);
  // The first file is held, and is removed by the next megabytes, as are others that are not.
  const megabytes = Buffer.alloc(2 * 2 ** 20, `${LINE}\n`);
  stream.end(megabytes);
  await readAll(stream);
  await monitor.exited;
  await monitor.closed;
  assert(!existsSync(`${path}.000001`) && existsSync(`${path}.000001.held`));
  ending.abort();
  for await (const { data } of steps) collect(data, shipped);
  const dropped = Number(await readFile(`${path}.dropped`, "utf8"));
  assert(dropped > 0, "nothing was dropped");
  assert.equal(shipped.length + dropped, 2 * LINES_OF_A_MEGABYTE + 1);
  await releaseHeld(path, Number.MAX_SAFE_INTEGER);
  assert.deepEqual(await listSpool(path), await listGenerations(path));
});

const LOOP_TOOLS = ["mkfs.ext4", "fsfreeze", "losetup"];
const hasTools =
  existsSync("/dev/loop-control") &&
  LOOP_TOOLS.every((tool) => ["/sbin", "/usr/sbin"].some((bin) => existsSync(`${bin}/${tool}`)));
const skip = hasTools ? false : "no loop devices, mkfs.ext4 or fsfreeze";

/** A disk of a few megabytes, in a file. */
function makeDisk(native: NativeFixture, megabytes: number): string {
  const folder = native.path("disk");
  execFileSync("mkdir", [folder]);
  execFileSync("truncate", ["-s", `${megabytes}M`, `${folder}.img`]);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", `${folder}.img`]);
  execFileSync("mount", ["-o", "loop", `${folder}.img`, folder]);
  return folder;
}

test("a disk that stands still costs lines, never the container's time", { skip }, async () => {
  await using native = await NativeFixture.make();
  const disk = makeDisk(native, 16);
  try {
    const path = `${disk}/q.log`;
    const log = logAt(path, { queueBytes: 300_000, blocking: false });
    const { monitor } = await native.start(["cat"], { openStdin: true, stdinOnce: true, ...log });
    const stream = await monitor.attach("", ALL);
    execFileSync("fsfreeze", ["-f", disk]);
    try {
      const block = Buffer.concat(Array.from({ length: 2 ** 14 }, () => Buffer.from(`${LINE}\n`)));
      stream.end(block);
      await readAll(stream);
      // The container has written everything, and ended, while nothing could be written.
      assert.equal((await monitor.exited).code, 0);
    } finally {
      execFileSync("fsfreeze", ["-u", disk]);
    }
    await monitor.closed;
    const left = await entriesOf(path);
    const dropped = Number(await readFile(`${path}.dropped`, "utf8"));
    assert(dropped > 0, "nothing was dropped");
    assert.equal(left.length + dropped, 2 ** 14);
    assert(left.every(({ text }) => text.equals(LINE)));
  } finally {
    execFileSync("umount", ["-l", disk]);
  }
});

test("a full disk costs whole lines, and never half of one", { skip }, async () => {
  await using native = await NativeFixture.make();
  const disk = makeDisk(native, 4);
  try {
    const path = `${disk}/f.log`;
    await writeFile(`${path}.dropped`, "0");
    const { monitor } = await native.start(["spam", String(8 * 2 ** 20)], logAt(path));
    assert.equal((await monitor.exited).code, 0);
    await monitor.closed;
    const left = await entriesOf(path);
    assert(left.length > 0 && left.length < 8 * LINES_OF_A_MEGABYTE);
    assert(left.every(({ text }) => text.equals(LINE)));
  } finally {
    execFileSync("umount", ["-l", disk]);
  }
});
