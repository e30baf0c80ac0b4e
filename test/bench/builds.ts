// bench.ts --only builds: the same Dockerfiles on the same files, built by ours and by dockerd
// with BuildKit, in turn. "cold" is a folder that nobody has seen, with contents that nobody has;
// then nothing changes, then one file does. The stock buildx drives both where it is here, our own
// client ours as well. Peaks of memory are of the daemons after all of it: `--clients buildx` for
// the same work on both sides.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { root } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { dockerCli, dockerConfig, whyNoPlugin } from "../support/docker-plugins.ts";
import type { Engine } from "./engines.ts";
import { kibibytes, peakOf } from "./memory.ts";
import { milliseconds, Samples, table, timed } from "./statistics.ts";

const BASE = "bench-base:latest";
const BUILD_DEADLINE_MS = 600_000;
const SETTLE_MS = 500;
const FILES_PER_FOLDER = 100;
const ROOTFS = join(root, "../shared/images/alpine-minirootfs-3.20.3-x86_64.tar.gz");

/** A client with the daemon that it drives. */
interface Contestant {
  name: string;
  engine: Engine;
  build: (folder: string) => Promise<void>;
}

/** What is built, and what is measured of it. */
interface Scenario {
  title: string;
  files: number;
  dockerfile: (nonce: string) => string;
  steps: readonly Step[];
}
type Step = "cold" | "cached" | "one file changed";

const SCENARIOS: Record<string, Scenario> = {
  small: {
    title: "6 steps, 2,000 files",
    files: 2_000,
    dockerfile: () =>
      [
        `FROM ${BASE}`,
        "WORKDIR /app",
        "COPY 0/0.txt package.txt",
        "RUN cat package.txt > /dependencies",
        "COPY . .",
        "RUN find . -type f | wc -l > /count",
        'CMD ["true"]',
      ].join("\n"),
    steps: ["cold", "cached", "one file changed"],
  },
  large: {
    title: "COPY of 50,000 files",
    files: 50_000,
    dockerfile: () => [`FROM ${BASE}`, "COPY . /app", "RUN test -d /app"].join("\n"),
    steps: ["cold", "cached", "one file changed"],
  },
  runs: {
    title: "10 RUNs of nothing",
    files: 0,
    dockerfile: (nonce) =>
      [`FROM ${BASE}`, ...Array.from({ length: 10 }, (_, n) => `RUN true ${nonce} ${n}`)].join(
        "\n",
      ),
    steps: ["cold", "cached"],
  },
  stages: {
    title: "4 stages side by side",
    files: 0,
    dockerfile: (nonce) => {
      const work = "for i in $(seq 2000); do echo $i > /out/$i; done";
      const stages = [1, 2, 3, 4].flatMap((n) => [
        `FROM ${BASE} AS s${n}`,
        `RUN mkdir /out && ${work} && echo ${nonce} > /out/nonce${n}`,
      ]);
      const copies = [1, 2, 3, 4].map((n) => `COPY --from=s${n} /out /out${n}`);
      return [...stages, `FROM ${BASE}`, ...copies].join("\n");
    },
    steps: ["cold", "cached"],
  },
  writes: {
    title: "RUN that writes 20,000 files",
    files: 0,
    dockerfile: (nonce) =>
      [
        `FROM ${BASE}`,
        `RUN mkdir /d && for i in $(seq 20000); do echo $i ${nonce} > /d/$i; done`,
      ].join("\n"),
    steps: ["cold", "cached"],
  },
};

/** Prints a table for each scenario; returns the figures, milliseconds. */
export async function compareBuilds(
  engines: readonly Engine[],
  o: { rounds: number; scenarios?: string | undefined; clients?: string | undefined },
): Promise<Record<string, unknown>> {
  if (!existsSync(ROOTFS)) {
    console.log(`a base image is needed: ${ROOTFS}`);
    return {};
  }
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-builds-"));
  const results: Record<string, unknown> = {};
  try {
    for (const engine of daemonsOf(engines)) await importBase(engine);
    const all = await contestantsOf(engines, folder);
    const contestants = all.filter(({ name }) => name.includes(o.clients ?? ""));
    const wanted = o.scenarios?.split(",") ?? Object.keys(SCENARIOS);
    for (const name of wanted) {
      const scenario = SCENARIOS[name];
      if (scenario === undefined) throw new Error(`no such scenario: ${name}`);
      results[scenario.title] = await compareOne(contestants, scenario, { ...o, folder });
    }
    const rows = [["highest memory of the daemon (RSS)", ""]];
    for (const engine of daemonsOf(engines)) {
      const peak = await peakOf(await engine.daemonPids());
      results[`peak ${engine.name}`] = peak;
      rows.push([engine.name, kibibytes(peak)]);
    }
    console.log(`${table(rows)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return results;
}

/** The daemons, once each. */
function daemonsOf(engines: readonly Engine[]): Engine[] {
  const sockets = new Set<string | undefined>();
  return engines.filter(({ socket }) => {
    const isNew = socket !== undefined && !sockets.has(socket);
    sockets.add(socket);
    return isNew;
  });
}

async function contestantsOf(engines: readonly Engine[], folder: string): Promise<Contestant[]> {
  const missing = whyNoPlugin("docker-buildx");
  if (missing) console.log(`${missing}: the classic builder instead`);
  const contestants: Contestant[] = [];
  for (const engine of daemonsOf(engines)) {
    const isOurs = engine.name === "gantry";
    const name = isOurs ? "gantry" : engine.name;
    if (missing || isOurs) {
      const command = [dockerCli(), "build", "--network", "none"];
      const env = { ...engine.env, DOCKER_BUILDKIT: "0" };
      contestants.push(contestant(`classic → ${name}`, engine, { command, env }));
    }
    if (!missing) {
      const config = await dockerConfig(await mkdtemp(join(folder, "config-")));
      const command = [dockerCli(), "buildx", "build", "--progress", "plain", "--network", "none"];
      const env = { ...engine.env, DOCKER_CONFIG: config };
      contestants.push(contestant(`buildx → ${name}`, engine, { command, env }));
    }
    if (!isOurs) continue;
    const own = [...engine.command, "build", "--network", "none"];
    contestants.push(contestant("gantry build", engine, { command: own, env: engine.env }));
  }
  return await workingOnes(contestants, folder);
}

function contestant(
  name: string,
  engine: Engine,
  { command, env }: { command: string[]; env: Record<string, string> },
): Contestant {
  const [program = "", ...first] = command;
  const build = async (folder: string): Promise<void> => {
    const args = [...first, "-t", `bench-${name.replaceAll(/\W+/g, "-")}`, folder];
    const { code, stderr, stdout } = await run(program, args, {
      env,
      deadlineMs: BUILD_DEADLINE_MS,
    });
    if (code !== 0)
      throw new Error(`${name}: ${code}: ${stderr.slice(-2000)}${stdout.slice(-500)}`);
  };
  return { name, engine, build };
}

async function workingOnes(all: Contestant[], folder: string): Promise<Contestant[]> {
  const probe = join(folder, "probe");
  await mkdir(probe);
  await writeFile(join(probe, "Dockerfile"), `FROM ${BASE}\nRUN true\n`);
  const working: Contestant[] = [];
  for (const one of all) {
    await one.build(probe).then(
      () => working.push(one),
      (error: Error) => console.log(`left out: ${error.message}`),
    );
  }
  return working;
}

async function compareOne(
  contestants: readonly Contestant[],
  scenario: Scenario,
  { rounds, folder }: { rounds: number; folder: string },
): Promise<Record<string, unknown>> {
  const samples = new Map<string, Map<Step, Samples>>();
  for (const { name } of contestants) {
    samples.set(name, new Map(scenario.steps.map((step) => [step, new Samples()])));
  }
  for (let round = 0; round < rounds; round++) {
    // Who is first is not always the same.
    for (let n = 0; n < contestants.length; n++) {
      const one = contestants[(n + round) % contestants.length]!;
      const place = join(folder, `context-${round}-${n}`);
      const nonce = `${round}-${n}-${process.pid}`;
      await makeContext(place, scenario, nonce);
      await delay(SETTLE_MS);
      for (const [step, sample] of samples.get(one.name)!) {
        if (step === "one file changed") await writeFile(join(place, "3/7.txt"), `new ${nonce}\n`);
        await timed(sample, () => one.build(place));
      }
      await rm(place, { recursive: true });
    }
  }
  return report(scenario, samples);
}

function report(
  { title, steps }: Scenario,
  samples: Map<string, Map<Step, Samples>>,
): Record<string, unknown> {
  const base = [...samples].find(([name]) => name.endsWith("dockerd"))?.[1];
  const rows = [[title, ...steps.flatMap((step) => [`${step} ms`, "× BuildKit"])]];
  const record: Record<string, unknown> = {};
  for (const [name, own] of samples) {
    const cells = steps.flatMap((step) => {
      const { p50 } = own.get(step)!;
      const ratio = p50 / (base?.get(step)?.p50 ?? Number.NaN);
      return [milliseconds(p50), Number.isNaN(ratio) ? "–" : ratio.toFixed(2)];
    });
    rows.push([name, ...cells]);
    record[name] = Object.fromEntries(steps.map((step) => [step, own.get(step)!.p50]));
  }
  console.log(`${table(rows)}\n`);
  return record;
}

async function makeContext(place: string, scenario: Scenario, nonce: string): Promise<void> {
  await mkdir(place);
  await writeFile(join(place, "Dockerfile"), `${scenario.dockerfile(nonce)}\n`);
  for (let at = 0; at < scenario.files; at += FILES_PER_FOLDER) {
    const folder = join(place, String(at / FILES_PER_FOLDER));
    await mkdir(folder);
    const names = Array.from({ length: FILES_PER_FOLDER }, (_, n) => n);
    await Promise.all(
      names.map((n) => {
        const line = `file ${n} of folder ${at}, ${nonce}\n`;
        return writeFile(join(folder, `${n}.txt`), line.repeat(1 + ((n * 7) % 60)));
      }),
    );
  }
}

async function importBase(engine: Engine): Promise<void> {
  const { code, stderr } = await run(dockerCli(), ["import", ROOTFS, BASE], { env: engine.env });
  if (code !== 0) throw new Error(`${engine.name} import: ${stderr}`);
}
