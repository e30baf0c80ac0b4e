// What `stats` says of real containers: the kernel's own numbers, one sampler however many look,
// and streams that live as long as their container.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { until } from "../support/deadline.ts";
import { EngineFixture, startContainer } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
before(async () => {
  fixture = await EngineFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});

interface Document {
  name: string;
  read: string;
  preread: string;
  pids_stats: { current?: number; limit?: number };
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> };
  cpu_stats: { cpu_usage: { total_usage: number }; system_cpu_usage?: number };
  precpu_stats: { cpu_usage: { total_usage: number } };
  blkio_stats: { io_service_bytes_recursive: unknown[] | null };
}
const NEVER = "0001-01-01T00:00:00Z";
const CGROUP = "/sys/fs/cgroup";

const watch = (id: string, o: { stream: boolean; oneShot: boolean }, signal?: AbortSignal) =>
  fixture.engine.containers.stats(id, {
    ...o,
    ...(signal && { signal }),
  }) as AsyncIterable<Document>;
async function one(id: string, oneShot: boolean): Promise<Document> {
  for await (const document of watch(id, { stream: false, oneShot })) return document;
  throw new Error("no document");
}

/** The number in a file of the container's cgroup, or of the other cgroup version. */
async function counted(id: string, v1: [string, string], v2: [string, RegExp]): Promise<number> {
  const parent = fixture.options.cgroupParent!;
  const old = await readFile(`${CGROUP}/${v1[0]}/${parent}/${id}/${v1[1]}`, "utf8").catch(() => "");
  if (old !== "") return Number(old);
  const text = await readFile(`${CGROUP}/${parent}/${id}/${v2[0]}`, "utf8");
  return Number(v2[1].exec(text)?.[1]);
}
const cpuTime = async (id: string): Promise<number> => {
  const value = await counted(id, ["cpuacct", "cpuacct.usage"], ["cpu.stat", /usage_usec (\d+)/]);
  return value < 1e6 ? value * 1000 : value;
};

test("the numbers are those of the kernel", async () => {
  const id = await startContainer(fixture.engine, ["sleep"], {
    hostConfig: { Memory: 64 << 20, PidsLimit: 7 },
  });
  const before = await cpuTime(id);
  const document = await one(id, true);
  const after = await cpuTime(id);
  const cpu = document.cpu_stats.cpu_usage.total_usage;
  assert(cpu >= before && cpu <= after, `${before} ${cpu} ${after}`);
  assert.equal(document.memory_stats.limit, 64 << 20);
  assert.deepEqual(document.pids_stats, { current: 1, limit: 7 });
  assert.deepEqual([document.preread, document.precpu_stats.cpu_usage.total_usage], [NEVER, 0]);
  await fixture.engine.containers.remove(id, { force: true });
});

test("memory is the kernel's number, too", async () => {
  const id = await startContainer(fixture.engine, ["sleep"]);
  const memory = () =>
    counted(id, ["memory", "memory.usage_in_bytes"], ["memory.current", /(\d+)/]);
  // What has just started may still grow, or give back what its maker took.
  await until("a moment without a change", async () => {
    const [before, { memory_stats }, after] = [await memory(), await one(id, true), await memory()];
    return before === after && memory_stats.usage === before;
  });
  await fixture.engine.containers.remove(id, { force: true });
});

test("a single document compares with an earlier one unless it need not", async () => {
  const id = await startContainer(fixture.engine, ["sleep"]);
  const document = await one(id, false);
  assert(document.preread !== NEVER && document.preread < document.read);
  assert(document.precpu_stats.cpu_usage.total_usage > 0);
  await fixture.engine.containers.remove(id, { force: true });
});

test("clients of one container get the same samples", async () => {
  const id = await startContainer(fixture.engine, ["sleep"]);
  const stop = new AbortController();
  const collect = async (): Promise<Document[]> => {
    const documents: Document[] = [];
    for await (const document of watch(id, { stream: true, oneShot: false }, stop.signal)) {
      documents.push(document);
      if (documents.length === 3) break;
    }
    return documents;
  };
  const [mine, yours] = await Promise.all([collect(), collect()]);
  assert(mine.some((document) => yours.includes(document)));
  await fixture.engine.containers.remove(id, { force: true });
});

test("a stream goes on over a stop and a start, and ends with its container", async () => {
  const { containers } = fixture.engine;
  const id = await startContainer(fixture.engine, ["sleep"], { config: { StopSignal: "SIGKILL" } });
  const seen: ("some" | "none")[] = [];
  for await (const document of watch(id, { stream: true, oneShot: false })) {
    const now = document.memory_stats.usage === undefined ? "none" : "some";
    if (seen.at(-1) === now) continue;
    seen.push(now);
    if (seen.length === 1) await containers.stop(id);
    if (seen.length === 2) await containers.start(id);
    if (seen.length === 3) await containers.remove(id, { force: true });
  }
  assert.deepEqual(seen, ["some", "none", "some"]);
});

test("a container that does not run has an empty document", async () => {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: "payload:latest", Cmd: ["true"] },
    hostConfig: { NetworkMode: "none" },
  });
  const document = await one(id, false);
  assert.deepEqual([document.read, document.memory_stats], [NEVER, {}]);
  await containers.remove(id);
});
