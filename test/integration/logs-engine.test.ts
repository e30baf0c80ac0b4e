// Logs through the engine, of real containers: rotation and compression under readers, followers,
// searches, restarts of container and engine, drivers and their options.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { LogOptions } from "../../src/engine/index.ts";
import { EngineFixture, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());

const ALL: LogOptions = {
  stdout: true,
  stderr: true,
  timestamps: false,
  details: false,
  follow: false,
  tail: "all",
};
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `line ${from + n}`);

async function logs(id: string, o: Partial<LogOptions> = {}): Promise<string[]> {
  const { stream } = await fixture.engine.containers.logs(id, { ...ALL, ...o });
  return (await text(stream)).split(/\r?\n/).filter((line) => line !== "");
}

const start = (command: string[], Type: string, Config: Record<string, string> = {}) =>
  startContainer(fixture.engine, command, {
    config: { Tty: true },
    hostConfig: { LogConfig: { Type, Config } },
  });

async function runToEnd(id: string): Promise<void> {
  const { done } = await fixture.engine.containers.wait(id, "not-running");
  await done;
}

async function filesOf(id: string): Promise<string[]> {
  const names = await readdir(join(fixture.root, "data/containers", id));
  return names.filter((name) => /\.\d{6}(\.zst)?$/.test(name)).sort();
}

/** All but the newest are compressed, and nothing is left of doing so. */
async function compressed(id: string): Promise<string[]> {
  for (let n = 0; ; n++) {
    const names = await filesOf(id);
    const isDone = names.slice(0, -1).every((name) => name.endsWith(".zst"));
    if (isDone && !names.at(-1)!.endsWith(".zst")) return names;
    assert(n < 3000, `not compressed: ${names}`);
    await delay(20);
  }
}

const sizes = { "max-size": "4k", "max-file": "500", compress: "true" };

for (const driver of ["json-file", "local"]) {
  test(`${driver}: readers and followers get every line once over rotation and compression`, async () => {
    const id = await start(["lines", "3000"], driver, sizes);
    const followers = Array.from({ length: 50 }, () => logs(id, { follow: true }));
    const expected = numbered(1, 3000);
    for (const lines of await Promise.all(followers)) assert.deepEqual(lines, expected);
    assert.deepEqual(await logs(id), expected);
    const files = await compressed(id);
    assert(files.length > 10, `only ${files}`);
    assert.deepEqual(await logs(id), expected);
    assert.deepEqual(await logs(id, { tail: 1234 }), expected.slice(-1234));
    await fixture.engine.containers.remove(id);
  });

  test(`${driver}: times bound a log that is in many files`, async () => {
    const id = await start(["lines", "500", "1"], driver, sizes);
    await runToEnd(id);
    const stamped = await logs(id, { timestamps: true });
    const times = stamped.map((line) => line.split(" ")[0]!);
    const at = (n: number) => {
      const [whole, nano] = times[n]!.split(".") as [string, string];
      return { seconds: Date.parse(`${whole}Z`) / 1000, nanoseconds: Number(nano.slice(0, 9)) };
    };
    assert.deepEqual(await logs(id, { since: at(321) }), numbered(322, 500));
    assert.deepEqual(await logs(id, { until: at(100) }), numbered(1, 101));
    assert.deepEqual(await logs(id, { since: at(200), until: at(210) }), numbered(201, 211));
    const first = { since: at(200), tail: 400 };
    assert.deepEqual(await logs(id, first), numbered(201, 500));
    assert.deepEqual(await logs(id, { since: at(200), tail: 4 }), numbered(497, 500));
    await fixture.engine.containers.remove(id);
  });
}

test("a search finds what matches, also the last of it, and as the container writes", async () => {
  const id = await start(["lines", "2000"], "json-file", sizes);
  const followed = await logs(id, { follow: true, grep: "e 1.*7$" });
  const expected = numbered(1, 2000).filter((line) => /e 1.*7$/.test(line));
  assert.deepEqual(followed, expected);
  assert.deepEqual(await logs(id, { grep: "e 1.*7$" }), expected);
  assert.deepEqual(await logs(id, { grep: "e 1.*7$", tail: 3 }), expected.slice(-3));
  assert.deepEqual(await logs(id, { grep: "(?i)LINE 42$" }), ["line 42"]);
  await assert.rejects(logs(id, { grep: "(" }), { kind: "invalid" });
  await assert.rejects(logs(id, { grep: "(x)\\1" }), /linear time/);
  await fixture.engine.containers.remove(id);
});

test("a container that runs again writes on in the same log, and a follower may come meanwhile", async () => {
  const id = await start(["lines", "3"], "local");
  await runToEnd(id);
  await fixture.engine.containers.start(id);
  const lines = await logs(id, { follow: true });
  await runToEnd(id);
  assert.deepEqual(lines, [...numbered(1, 3), ...numbered(1, 3)]);
  assert.deepEqual(await logs(id), lines);
  await fixture.engine.containers.remove(id);
});

test("a follower ends with its container's removal", async () => {
  const id = await start(["sleep"], "json-file");
  const followed = logs(id, { follow: true });
  await fixture.engine.containers.remove(id, { force: true });
  assert.deepEqual(await followed, []);
});

test("a next engine compresses what is left, and reads on from there", async () => {
  const id = await start(["lines", "1000", "1"], "local", sizes);
  await fixture.close();
  await fixture.open();
  await runToEnd(id);
  await compressed(id);
  assert.deepEqual(await logs(id), numbered(1, 1000));
  await fixture.engine.containers.remove(id);
});

test("the tag and chosen labels stand beside lines of json-file", async () => {
  const Config = { tag: "{{.Name}}-{{upper .ImageName}}", labels: "a", env: "E" };
  const id = await startContainer(fixture.engine, ["echo", "hi"], {
    name: "tagged",
    config: { Tty: true, Labels: { a: "x", b: "y" }, Env: ["E=1"] },
    hostConfig: { LogConfig: { Type: "json-file", Config } },
  });
  await runToEnd(id);
  const details = await logs(id, { details: true });
  assert.deepEqual(details, ["E=1,a=x,tag=tagged-PAYLOAD%3ALATEST hi"]);
  await fixture.engine.containers.remove(id);
});

test("driver none keeps nothing, and says so; unknown options are refused in docker's words", async () => {
  const id = await start(["echo", "hi"], "none");
  await runToEnd(id);
  const message = "configured logging driver does not support reading";
  await assert.rejects(logs(id), { kind: "not-implemented", message });
  assert.deepEqual(await filesOf(id), []);
  await fixture.engine.containers.remove(id);
  const unknown = "unknown log opt 'x' for json-file log driver";
  await assert.rejects(start(["true"], "json-file", { x: "1" }), { message: unknown });
  const bad = start(["true"], "local", { "max-file": "1" });
  const says = /failed to initialize logging driver: compression cannot be enabled/;
  await assert.rejects(bad, says);
});
