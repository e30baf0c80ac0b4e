// The native program under AddressSanitizer and UBSan: its decoder against mutated plans (seeded,
// so a failure can be repeated), and a container's life from end to end.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { before, test } from "node:test";
import { encodeFrame, type Frame, FrameReader, frameType } from "../../src/native/frames.ts";
import {
  encodePlan,
  nativeProgramPath,
  type Operation,
  operations,
} from "../../src/native/index.ts";
import { buildNative } from "../../tools/build-native.ts";
import { demultiplex, execPlan, NativeFixture, readAll } from "../support/native-fixture.ts";

const SEED = 20261121;
const INPUTS = 60_000;
const program = join(dirname(nativeProgramPath), "gantry-native-asan");

before(() => buildNative({ asan: true }));

/** A small generator of numbers with a seed (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A plan with every operation there is, each with plausible fields. */
function everyOperation(path = "/some/path"): Operation[] {
  const sample: Record<string, unknown> = {
    slot: 3,
    int: 7,
    str: path,
    bytes: new Uint8Array([1, 2, 3, 4, 5]),
    strs: ["one", "", "three"],
    ints: [1, -1],
    flag: true,
    patches: [{ offset: 1, slot: 2, width: 4 }],
  };
  return Object.entries(operations).map(([op, { fields }]) => {
    const values = Object.entries(fields).map(([name, kind]) => [
      name,
      sample[kind.split("?")[0]!],
    ]);
    return { op, ...Object.fromEntries(values) } as Operation;
  });
}

function mutate(plan: Buffer, random: (below: number) => number): Buffer {
  const out = Buffer.from(plan);
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(out.length);
    const kind = random(4);
    if (kind === 0) out[at] = random(256);
    else if (kind === 1) out[at]! ^= 1 << random(8);
    else if (kind === 2 && at + 4 <= out.length) {
      out.writeUInt32LE([0, 1, 0xffff_ffff, 0x7fff_ffff, out.length][random(5)]!, at);
    } else if (at + 8 < out.length) out.copyWithin(at, random(out.length - 8), at + random(64));
  }
  return random(8) === 0 ? out.subarray(0, random(out.length + 1)) : out;
}

test("no mutation of a plan makes the decoder read where it must not", async () => {
  const random = randomFrom(SEED);
  const child = spawn(program, ["decode"], { stdio: ["pipe", "pipe", "pipe"] });
  const [answers, errors] = [buffer(child.stdout), text(child.stderr)];
  const all = everyOperation();
  const whole = encodePlan({ host: all, container: all.slice(0, 20), teardown: all.slice(20) });
  const small = all.map((operation) => encodePlan({ host: [operation] }));
  child.stdin.on("error", () => {}); // the exit code says more
  const send = async (input: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(input.length);
    if (!child.stdin.write(Buffer.concat([length, input]))) await once(child.stdin, "drain");
  };
  for (const plan of [whole, ...small]) await send(plan);
  for (let i = 0; i < INPUTS; i++) {
    await send(mutate(random(10) === 0 ? whole : small[random(small.length)]!, random));
  }
  child.stdin.end();
  const [code] = await once(child, "close");
  assert.equal(code, 0, `seed ${SEED}: ${await errors}`);
  const results = await answers;
  assert.equal(results.length, INPUTS + 1 + small.length);
  assert.equal(results.toString("latin1", 0, 1 + small.length), "1".repeat(1 + small.length));
  assert(results.includes("0"));
});

test("a container's life runs clean under the sanitizers", async () => {
  await using native = await NativeFixture.make({ program });
  const options = { openStdin: true, stdinOnce: true, holdMs: 30_000 };
  const { monitor, created, id } = await native.start(["cat"], options);
  const stream = await monitor.attach("", { stdin: true, stdout: true, stderr: true });
  monitor.release();
  const plan = execPlan(created.pid, ["lines", "50"]);
  const execOptions = { terminal: false, openStdin: false, holdMs: 30_000 };
  const exec = await monitor.exec("e", plan, execOptions);
  const output = await monitor.attach("e", { stdin: false, stdout: true, stderr: true });
  monitor.release("e");
  assert.equal(demultiplex(await readAll(output)).stdout.split("\n").length, 51);
  assert.equal((await exec.exited).code, 0);
  const missing = monitor.exec("f", execPlan(created.pid, ["missing"]), execOptions);
  await assert.rejects(missing, { kind: "not-found" });
  stream.end(`${"long ".repeat(10_000)}\n\xff<odd>\n`);
  assert.equal(demultiplex(await readAll(stream)).stdout.length, 50_008);
  assert.equal((await monitor.exited).code, 0);
  await monitor.closed;
  assert.equal((await native.log(id)).length, 5);
});

test("plans of every kind of failure run clean under the sanitizers", async () => {
  await using native = await NativeFixture.make({ program });
  for (const operation of everyOperation(native.path("nonsense"))) {
    // Each alone, with nonsense in its fields: it fails or not, but it answers. In namespaces of
    // its own (mount, uts, ipc, net), since some of the nonsense succeeds: hostname, for one.
    const host: Operation[] = [{ op: "unshare", flags: 0x4c020000 }, operation];
    await native.spawner.run({ host, deadlineMs: 5_000 }).catch((error) => {
      assert.doesNotMatch(error.message, /(worker|executor) died/, operation.op);
    });
  }
});

test("no frame that a client may send harms a monitor", async () => {
  await using native = await NativeFixture.make({ program });
  const { monitor, id } = await native.start(["cat"], { openStdin: true });
  const random = randomFrom(SEED + 1);
  const path = native.path(`${id}.sock`);
  for (let i = 0; i < 300; i++) {
    const type = [32, 33, 34, 35, 36, 37, 99][random(7)]!;
    const payload = Buffer.from(Array.from({ length: random(40) }, () => random(256)));
    if (payload.length > 8 && random(2) === 0) payload.writeUInt32LE(random(5), 0);
    const frame = encodeFrame(i, type, payload);
    if (random(4) === 0) frame.writeUInt32LE(random(0xffff_ffff), 0);
    const control = random(2) === 0 ? [encodeFrame(1, 32)] : [];
    const socket = createConnection(path);
    socket.on("error", () => {}); // being thrown out is what may happen
    const data = Buffer.concat([...control, frame, frame.subarray(0, random(frame.length))]);
    socket.write(data, () => socket.destroy());
    await once(socket, "close");
  }
  const stream = await monitor.attach("", { stdin: true, stdout: true, stderr: true });
  stream.write("well\n");
  await once(stream, "readable");
  assert.match(String(stream.read()), /well/);
});

test("the spawner answers what it does not know, and ends at what cannot be framed", async () => {
  const child = spawn(program, ["spawn"], { stdio: ["ignore", "ignore", "inherit", "pipe"] });
  const socket = child.stdio[3] as Duplex;
  const reader = new FrameReader();
  const frames: Frame[] = [];
  socket.on("data", (chunk: Buffer) => frames.push(...reader.push(chunk)));
  const other = encodeFrame(2, frameType.run);
  other.writeUInt16LE(7, 10);
  socket.write(Buffer.concat([encodeFrame(1, 77), other, encodeFrame(3, frameType.create)]));
  socket.write(encodeFrame(4, frameType.run, Buffer.from("no plan")));
  while (frames.length < 4) await once(socket, "data");
  assert.deepEqual(frames.map(({ id, type }) => `${id} ${type}`).sort(), [
    "1 17",
    "2 17",
    "3 17",
    "4 17",
  ]);
  const endless = encodeFrame(5, frameType.run);
  endless.writeUInt32LE(0xffff_fff0, 0);
  socket.write(endless);
  await once(child, "exit");
});
