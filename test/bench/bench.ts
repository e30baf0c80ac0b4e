// npm run bench: how long a container takes with ours, with Debian's dockerd and podman, and at the
// kernel's floor, measured interleaved in one run so that all meet the same machine. Back to back,
// and with pauses: the first cgroup attach after idling is expensive on some kernels.
//
//   bench.ts [--runs 100] [--pause 200] [--only run-none,run-bridge,api,exec,burst,memory]
//            [--json FILE] [--engines gantry,dockerd,podman]
//   bench.ts --only images [--rounds 3]    push, pull, load: ours and dockerd, some minutes
//   bench.ts --only registry [--rounds 3]  our registry and Debian's docker-registry
//   bench.ts --only networks [--runs 20] [--endpoints 500]
//   bench.ts --only logs [--rounds 1] [--megabytes 1000]   under three minutes
//   bench.ts --only observe                stats and ps with many containers: CPU of the daemon
//   bench.ts --only runtime [--runs 30]    gantry-runtime and runc, warm and cold, in seconds
//   bench.ts --only builds [--rounds 3] [--scenarios small,large,runs,stages,writes] [--clients X]

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { IMAGE } from "../e2e/harness.ts";
import { ApiSequence } from "./api-sequence.ts";
import { compareBuilds } from "./builds.ts";
import { type Engine, output, startDockerd, startGantry, startPodman } from "./engines.ts";
import { type FloorLevels, measureFloor } from "./floor.ts";
import { compareImages } from "./images.ts";
import { compareLogs } from "./logs.ts";
import { kibibytes, pssOfParent, rssOf } from "./memory.ts";
import { compareNetworks } from "./networks.ts";
import { compareObserving } from "./observe.ts";
import { compareRuntimes } from "./oci-runtime.ts";
import { compareRegistries } from "./registry.ts";
import { milliseconds, Samples, table, timed } from "./statistics.ts";

const BURST = 40;
const BURST_ROUNDS = 3;
const MEMORY_CONTAINERS = 10;
const SETTLE_MS = 1_000;

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "100" },
    pause: { type: "string", default: "200" },
    only: { type: "string", default: "run-none,run-bridge,api,exec,burst,memory" },
    engines: { type: "string", default: "gantry,dockerd,podman" },
    rounds: { type: "string" },
    endpoints: { type: "string", default: "500" },
    megabytes: { type: "string", default: "1000" },
    scenarios: { type: "string" },
    clients: { type: "string" },
    json: { type: "string" },
  },
});
const runs = Number(flags.runs);
const rounds = Number(flags.rounds ?? 3);
const wanted = new Set(flags.only.split(","));
const results: Record<string, Record<string, unknown>> = {};

const engines: Engine[] = [];
try {
  const names = ["registry", "runtime"].includes(flags.only) ? [] : flags.engines.split(",");
  if (names.includes("gantry")) engines.push(...(await startGantry()));
  if (names.includes("dockerd")) engines.push(...orNote(await startDockerd(), "dockerd"));
  if (names.includes("podman")) engines.push(...orNote(await startPodman(), "podman"));
  await main();
} finally {
  for (const engine of engines) await engine.stop().catch((error) => console.error(String(error)));
}

function orNote(engine: Engine | undefined, name: string): Engine[] {
  if (engine === undefined) console.log(`${name} is not here (test/bench/install-peers.sh)`);
  return engine === undefined ? [] : [engine];
}

async function main(): Promise<void> {
  const model = cpus()[0]?.model ?? "unknown";
  console.log(`${runs} runs each, interleaved; ${cpus().length} × ${model}\n`);
  if (wanted.has("images")) {
    const peers = engines.filter(({ name }) => name === "gantry" || name === "dockerd");
    results["images"] = await compareImages(peers, rounds);
  }
  if (wanted.has("builds")) {
    const { scenarios, clients } = flags;
    const o = { rounds, scenarios, clients };
    results["builds"] = await compareBuilds(engines, o);
  }
  if (wanted.has("networks")) {
    results["networks"] = await compareNetworks(engines, {
      runs,
      endpoints: Number(flags.endpoints),
    });
  }
  if (wanted.has("logs")) {
    const o = { rounds: Number(flags.rounds ?? 1), megabytes: Number(flags.megabytes) };
    results["logs"] = await compareLogs(engines, o);
  }
  if (wanted.has("observe")) results["observe"] = await compareObserving(engines);
  if (wanted.has("runtime")) results["runtime"] = await compareRuntimes(runs);
  if (wanted.has("registry")) results["registry"] = await compareRegistries(rounds);
  if (["run-none", "run-bridge", "api", "exec"].some((name) => wanted.has(name)))
    await compareRuns();
  if (wanted.has("burst")) await compareBurst();
  if (wanted.has("memory")) await compareMemory();
  if (flags.json !== undefined) await writeFile(flags.json, JSON.stringify(results, null, 2));
}

async function compareRuns(): Promise<void> {
  for (const pauseMs of [0, Number(flags.pause)]) {
    const floor = await measureFloor(runs, pauseMs);
    const title = pauseMs === 0 ? "back to back" : `with pauses of ${pauseMs} ms`;
    if (wanted.has("run-none")) await compareRun("none", pauseMs, title, floor);
    if (wanted.has("run-bridge")) await compareRun("bridge", pauseMs, title, floor);
    if (wanted.has("api")) await compareApi(pauseMs, title, floor);
    if (wanted.has("exec")) await compareExec(pauseMs, title);
  }
}

type Contestant = { name: string; once: () => Promise<unknown> };

/** One sample of each in turn, after a warm-up; prints the table with ratios to dockerd. */
async function compare(
  title: string,
  contestants: Contestant[],
  pauseMs: number,
  floorMs?: number,
): Promise<void> {
  const samples = new Map(contestants.map(({ name }) => [name, new Samples()]));
  for (const { once } of contestants) await once();
  for (let n = 0; n < runs; n++) {
    for (const { name, once } of contestants) {
      if (pauseMs > 0) await delay(pauseMs);
      await timed(samples.get(name)!, once);
    }
  }
  const base = samples.get("dockerd")?.p50 ?? Number.NaN;
  const rows = [[title, "p50 ms", "p99 ms", "× dockerd", "× floor"]];
  const record: Record<string, unknown> = {};
  for (const [name, sample] of samples) {
    const { p50, p99 } = sample;
    const toFloor = floorMs === undefined ? Number.NaN : p50 / floorMs;
    rows.push([name, milliseconds(p50), milliseconds(p99), ratio(p50 / base), ratio(toFloor)]);
    record[name] = { p50, p99 };
  }
  if (floorMs !== undefined) rows.push(["floor", milliseconds(floorMs), "", "", ""]);
  results[title] = { ...record, ...(floorMs === undefined ? {} : { floor: { p50: floorMs } }) };
  console.log(`${table(rows)}\n`);
}

function ratio(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(2);
}

async function compareRun(
  network: "none" | "bridge",
  pauseMs: number,
  title: string,
  floor: FloorLevels | undefined,
): Promise<void> {
  const contestants: Contestant[] = [];
  for (const engine of engines) {
    const args = ["run", "--rm", "--network", network, IMAGE, "true"];
    const works = await output(engine, args).then(
      () => true,
      (error) => console.log(`${engine.name} has no ${network} here: ${error.message}`),
    );
    if (works) contestants.push({ name: engine.name, once: () => output(engine, args) });
  }
  const name = `run --rm --network ${network}, ${title}`;
  await compare(name, contestants, pauseMs, floor?.[network]);
}

async function compareApi(
  pauseMs: number,
  title: string,
  floor: FloorLevels | undefined,
): Promise<void> {
  const sequences: ApiSequence[] = [];
  const contestants: Contestant[] = [];
  const seen = new Set<string>();
  for (const { name, socket } of engines) {
    if (socket === undefined || seen.has(socket)) continue;
    seen.add(socket);
    const sequence = new ApiSequence(socket);
    sequences.push(sequence);
    contestants.push({ name, once: () => sequence.run(IMAGE) });
  }
  await compare(`API create+start+wait+remove, ${title}`, contestants, pauseMs, floor?.none);
  for (const sequence of sequences) sequence.close();
}

async function compareExec(pauseMs: number, title: string): Promise<void> {
  const contestants: Contestant[] = [];
  const ids: [Engine, string][] = [];
  for (const engine of engines) {
    const id = await output(engine, ["run", "-d", "--network", "none", IMAGE, "sleep"]);
    ids.push([engine, id]);
    contestants.push({ name: engine.name, once: () => output(engine, ["exec", id, "true"]) });
  }
  await compare(`exec, ${title}`, contestants, pauseMs);
  for (const [engine, id] of ids) await output(engine, ["rm", "-f", id]);
}

async function compareBurst(): Promise<void> {
  const rates = new Map(engines.map(({ name }) => [name, new Samples()]));
  for (let round = 0; round < BURST_ROUNDS; round++) {
    for (const engine of engines) {
      const args = ["run", "-d", "--network", "none", IMAGE, "sleep"];
      const started = Date.now();
      const ids = await Promise.all(Array.from({ length: BURST }, () => output(engine, args)));
      rates.get(engine.name)!.add((BURST * 1000) / (Date.now() - started));
      await output(engine, ["rm", "-f", ...ids]);
    }
  }
  const base = rates.get("dockerd")?.p50 ?? Number.NaN;
  const rows = [[`${BURST} concurrent run -d`, "per second", "× dockerd"]];
  for (const [name, { p50 }] of rates) rows.push([name, p50.toFixed(1), ratio(p50 / base)]);
  results["burst"] = Object.fromEntries([...rates].map(([name, { p50 }]) => [name, p50]));
  console.log(`${table(rows)}\n`);
}

async function compareMemory(): Promise<void> {
  const rows = [["memory", "per container (PSS)", "daemon (RSS)"]];
  const seen = new Set<string>();
  for (const engine of engines) {
    if (engine.socket !== undefined && seen.has(engine.socket)) continue;
    seen.add(engine.socket ?? engine.name);
    await delay(SETTLE_MS);
    const daemonKib = await rssOf(await engine.daemonPids());
    const ids: string[] = [];
    for (let n = 0; n < MEMORY_CONTAINERS; n++) {
      ids.push(await output(engine, ["run", "-d", "--network", "none", IMAGE, "sleep"]));
    }
    const inspected = await output(engine, ["inspect", "-f", "{{.State.Pid}}", ...ids]);
    const each = await Promise.all(inspected.split("\n").map((pid) => pssOfParent(Number(pid))));
    const average = each.reduce((sum, kib) => sum + kib, 0) / each.length;
    rows.push([engine.name, kibibytes(average), daemonKib === 0 ? "–" : kibibytes(daemonKib)]);
    results[`memory ${engine.name}`] = { perContainerKib: average, daemonKib };
    await output(engine, ["rm", "-f", ...ids]);
  }
  console.log(`${table(rows)}\n`);
}

if (!existsSync("/proc/self/smaps_rollup")) console.log("no smaps_rollup: PSS is not measured");
