import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildEvent, BuildVertex } from "./job.ts";
import { BuildReport } from "./report.ts";

function told(report: BuildReport): BuildVertex[] {
  return report.events().flatMap((event) => (event.kind === "vertex" ? event.vertex : []));
}

async function all(events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const found: BuildEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

test("vertices of one name have digests of their own, in one build and in two", async () => {
  const digests = async () => {
    const report = new BuildReport();
    const step = () => report.step("load", async ({ digest }) => digest);
    return [await step(), await step()];
  };
  assert.equal(new Set([...(await digests()), ...(await digests())]).size, 4);
});

test("a vertex is told whole when it begins and when it ends, with its error", async () => {
  const report = new BuildReport();
  const failing = report.step("fails", async () => {
    throw new Error("no\nmore lines");
  });
  await assert.rejects(failing, /no/);
  const [begun, ended] = told(report);
  assert.equal(begun?.completedAtMs, undefined);
  assert.equal(ended?.error, "no");
  assert.equal(ended?.startedAtMs, begun?.startedAtMs);
});

test("what never ended is told as canceled when the build ends, what never began is not", () => {
  const report = new BuildReport();
  report.open("begun");
  report.open("waits", { waits: true });
  report.end();
  report.open("too late");
  const errors = told(report).flatMap(({ name, error }) => (error ? `${name}: ${error}` : []));
  assert.deepEqual(errors, ["begun: context canceled: context canceled"]);
  assert(!told(report).some(({ name }) => name === "too late"));
});

test("who follows late gets the same as who was there from the beginning", async () => {
  const report = new BuildReport();
  const early = all(report.follow());
  const vertex = report.open("step", { digest: "sha256:1" });
  void vertex.log("hello");
  vertex.status("part", { current: 1, total: 2 });
  const late = all(report.follow());
  vertex.status("part", { current: 2, total: 2, done: true });
  vertex.done({ cached: true });
  report.end();
  const [first, second, after] = await Promise.all([early, late, all(report.follow())]);
  const kinds = (events: BuildEvent[]) => events.map(({ kind }) => kind);
  assert.deepEqual(kinds(first), ["vertex", "log", "status", "status", "vertex"]);
  assert.deepEqual(second, first);
  // Afterwards only how far a part came is of interest.
  assert.deepEqual(kinds(after), ["vertex", "log", "status", "vertex"]);
});

test("a follower that does not read holds steps back until it reads", async () => {
  const report = new BuildReport();
  const vertex = report.open("spam");
  const events = report.follow();
  await events.next();
  const chunk = new Uint8Array(1024 * 1024);
  assert.equal(vertex.log(chunk), undefined);
  const held = vertex.log(chunk);
  assert(held, "the step has to wait");
  await events.next();
  await events.next();
  await held;
});

test("a follower that leaves holds nothing back", async () => {
  const report = new BuildReport();
  const vertex = report.open("spam");
  const leave = new AbortController();
  const events = report.follow(leave.signal);
  await events.next();
  const held = vertex.log(new Uint8Array(4 * 1024 * 1024));
  await events.return(undefined);
  await held;
  assert.equal(vertex.log("more"), undefined);
});

test("output that nobody could keep is cut, and says so", async () => {
  const report = new BuildReport();
  const vertex = report.open("spam");
  for (let count = 0; count < 12; count++) void vertex.log(new Uint8Array(1024 * 1024));
  report.end();
  const logs = (await all(report.follow())).flatMap((event) =>
    event.kind === "log" ? event.bytes : [],
  );
  assert.equal(logs.length, 8);
  assert.match(Buffer.from(logs.at(-1)!).toString(), /^\[output clipped/);
});

test("a step that writes a byte at a time does not fill the memory", () => {
  const report = new BuildReport();
  const vertex = report.open("drips");
  for (let count = 0; count < 300_000; count++) void vertex.log(".");
  assert(report.events().length < 150_000);
});

test("counts are of vertices, done and cached", async () => {
  const report = new BuildReport();
  await report.step("one", async () => {});
  report.open("two").done({ cached: true });
  report.open("three").failed(new Error("no"));
  const warning = { vertex: "", level: 1, short: "careful", detail: [], url: "" };
  report.warn(warning);
  const counts = { stepsTotal: 3, stepsCompleted: 2, stepsCached: 1, warnings: 1 };
  assert.deepEqual(report.counts(), counts);
});
