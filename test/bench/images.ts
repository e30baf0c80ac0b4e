// How images travel: push, pull and load of one large layer and of many small ones, ours against
// Debian's dockerd, each with a docker-registry of its own in its own network namespace. Every push
// meets an empty registry, every pull an engine without the image.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "tar-stream";
import { run } from "../e2e/process.ts";
import { type Engine, output } from "./engines.ts";
import { kibibytes, peakOf } from "./memory.ts";
import { milliseconds, Samples, table, timed } from "./statistics.ts";

const REGISTRY = "/usr/bin/docker-registry";
const PORT = 5999;
const LARGE_BYTES = 206_000_000;
const SMALL_LAYERS = 50;
const START_DEADLINE_MS = 10_000;
const STEPS = ["load", "push", "push again", "pull", "pull again"] as const;
type Step = (typeof STEPS)[number];

/** Prints a table for each kind of image; returns the figures, milliseconds. */
export async function compareImages(
  engines: readonly Engine[],
  rounds: number,
): Promise<Record<string, unknown>> {
  if (!existsSync(REGISTRY)) {
    console.log("docker-registry is not here (test/bench/install-peers.sh)");
    return {};
  }
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-images-"));
  const registries = engines.map((engine) => new PeerRegistry(engine, folder));
  const results: Record<string, unknown> = {};
  try {
    const content = join(folder, "content");
    await sampleContent(content);
    for (const layers of [1, SMALL_LAYERS]) {
      const archive = join(folder, `image-${layers}.tar`);
      await makeArchive(archive, await readFile(content), layers);
      const title = layers === 1 ? "one layer of 206 MB" : `${layers} layers of 4 MB`;
      results[title] = await compareOne(engines, registries, { archive, layers, rounds, title });
      await rm(archive);
    }
    const peaks = [["highest memory of the daemon (RSS)", ""]];
    for (const engine of engines) {
      const peak = await peakOf(await engine.daemonPids());
      results[`peak ${engine.name}`] = peak;
      peaks.push([engine.name, kibibytes(peak)]);
    }
    console.log(`${table(peaks)}\n`);
  } finally {
    for (const registry of registries) await registry.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return results;
}

async function compareOne(
  engines: readonly Engine[],
  registries: readonly PeerRegistry[],
  o: { archive: string; layers: number; rounds: number; title: string },
): Promise<Record<string, unknown>> {
  const samples = new Map(engines.map(({ name }) => [name, newSamples()]));
  for (let round = 0; round < o.rounds; round++) {
    for (const [at, engine] of engines.entries()) {
      await registries[at]!.restart();
      await travel(engine, o.archive, `bench/image-${o.layers}`, samples.get(engine.name)!);
    }
  }
  const header = [o.title, ...STEPS.map((step) => `${step} ms`)];
  const base = samples.get("dockerd");
  const rows = [header];
  const record: Record<string, unknown> = {};
  for (const [name, sample] of samples) {
    rows.push([name, ...STEPS.map((step) => milliseconds(sample[step].p50))]);
    record[name] = Object.fromEntries(STEPS.map((step) => [step, sample[step].p50]));
    if (base === undefined || base === sample) continue;
    const ratios = STEPS.map((step) => (sample[step].p50 / base[step].p50).toFixed(2));
    rows.push([`${name} × dockerd`, ...ratios]);
  }
  console.log(`${table(rows)}\n`);
  return record;
}

function newSamples(): Record<Step, Samples> {
  return Object.fromEntries(STEPS.map((step) => [step, new Samples()])) as Record<Step, Samples>;
}

async function travel(
  engine: Engine,
  archive: string,
  repository: string,
  samples: Record<Step, Samples>,
): Promise<void> {
  const name = `127.0.0.1:${PORT}/${repository}:1`;
  const step = (what: Step, ...args: string[]) => timed(samples[what], () => output(engine, args));
  await step("load", "load", "-q", "-i", archive);
  await output(engine, ["tag", "bench:1", name]);
  await step("push", "push", "-q", name);
  await step("push again", "push", "-q", name);
  await output(engine, ["rmi", "-f", name, "bench:1"]);
  await step("pull", "pull", "-q", name);
  await step("pull again", "pull", "-q", name);
  await output(engine, ["rmi", "-f", name]);
}

/** docker-registry in the network namespace of an engine. */
class PeerRegistry {
  #engine: Engine;
  #folder: string;
  #process: ChildProcess | undefined;

  constructor(engine: Engine, folder: string) {
    this.#engine = engine;
    this.#folder = join(folder, `registry-${engine.name.replaceAll(/\W/g, "-")}`);
  }

  /** Starts it anew, empty. */
  async restart(): Promise<void> {
    await this.stop();
    await mkdir(this.#folder, { recursive: true });
    const config = join(this.#folder, "config.yml");
    await writeFile(
      config,
      `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${this.#folder}}}
http: {addr: "127.0.0.1:${PORT}"}
`,
    );
    const [pid] = await this.#engine.daemonPids();
    const log = await open(join(this.#folder, "log"), "a");
    const args = ["-t", String(pid), "-n", "--", REGISTRY, "serve", config];
    this.#process = spawn("nsenter", args, { stdio: ["ignore", log.fd, log.fd] });
    await log.close();
    const deadline = Date.now() + START_DEADLINE_MS;
    while (!(await this.#answers(pid!))) {
      if (Date.now() > deadline) throw new Error("docker-registry does not answer");
      await delay(50);
    }
  }

  /** Asked from inside the namespace. */
  async #answers(pid: number): Promise<boolean> {
    const probe = `require("node:net").connect(${PORT}, "127.0.0.1")
      .on("connect", () => process.exit(0)).on("error", () => process.exit(1))`;
    const args = ["-t", String(pid), "-n", "--", process.execPath, "-e", probe];
    return (await run("nsenter", args)).code === 0;
  }

  async stop(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running !== undefined && running.exitCode === null) {
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGTERM");
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Files of this machine: programs, libraries, documents, as base images have them. */
async function sampleContent(path: string): Promise<void> {
  const command = `tar -C / -cf - usr/bin usr/share usr/lib 2>/dev/null | head -c ${LARGE_BYTES}`;
  const { code, stderr } = await run("sh", ["-c", `${command} > ${path}`]);
  if (code !== 0) throw new Error(`cannot gather content: ${stderr}`);
}

/** A docker archive, its layers with files of about a megabyte. */
async function makeArchive(path: string, content: Buffer, layers: number): Promise<void> {
  const share = Math.ceil(content.length / layers);
  const archive = pack();
  const file = await open(path, "w");
  const written = (async () => {
    for await (const chunk of archive) await file.writeFile(chunk as Buffer);
    await file.close();
  })();
  const diffIds: string[] = [];
  const names: string[] = [];
  for (let n = 0; n < layers; n++) {
    const tar = await layerOf(content.subarray(n * share, (n + 1) * share), n);
    diffIds.push(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
    names.push(`layer-${n}.tar`);
    archive.entry({ name: names[n]! }, tar);
  }
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs });
  archive.entry({ name: "config.json" }, config);
  const manifest = [{ Config: "config.json", RepoTags: ["bench:1"], Layers: names }];
  archive.entry({ name: "manifest.json" }, JSON.stringify(manifest));
  archive.finalize();
  await written;
}

/** Files as a root file system has them: many of a few kilobytes, some large, 24 KiB on average. */
const FILE_BYTES = [2, 4, 8, 16, 90].map((kibibytes) => kibibytes << 10);
const FILES_PER_FOLDER = 100;

async function layerOf(content: Buffer, n: number): Promise<Buffer> {
  const tar = pack();
  const gathered = Array.fromAsync(tar as AsyncIterable<Buffer>);
  for (let at = 0, file = 0; at < content.length; file++) {
    const bytes = FILE_BYTES[file % FILE_BYTES.length]!;
    const folder = Math.floor(file / FILES_PER_FOLDER);
    tar.entry({ name: `files/${n}/${folder}/${file}` }, content.subarray(at, at + bytes));
    at += bytes;
  }
  tar.finalize();
  return Buffer.concat(await gathered);
}
