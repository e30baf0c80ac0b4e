// npm run bench -- --only runtime [--runs 30]: gantry-runtime beside runc, command by command and
// interleaved: run, create+start+delete, exec; with a warm process and without one (each cold call
// starts one, which is ended before the next); and what stays in memory.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { payloadProgram } from "../payload/payload.ts";
import { kibibytes, rssOf } from "./memory.ts";
import { milliseconds, Samples, table, timed } from "./statistics.ts";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("../../bin/gantry-runtime", import.meta.url));
const VERBS = ["true", "sleep"];

interface Runtime {
  name: string;
  call(...args: string[]): Promise<void>;
  /** What must be gone before the next call is as cold as this one. */
  settle(): Promise<void>;
  /** Where its warm process is; none for runc. */
  warm?: string;
  program: string;
  root: string;
  env: Record<string, string | undefined>;
}

export async function compareRuntimes(runs: number): Promise<Record<string, unknown>> {
  await bundleCli();
  const folder = await mkdtemp(join(tmpdir(), "gantry-bench-oci-"));
  try {
    return await measure(folder, runs);
  } finally {
    await endWarm(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(folder: string, runs: number): Promise<Record<string, unknown>> {
  const bundles = { true: await bundle(folder, "true"), sleep: await bundle(folder, "sleep") };
  const runtimes = [
    runtime(folder, "gantry-runtime, warm"),
    runtime(folder, "gantry-runtime, cold"),
  ];
  const hasRunc = await run("runc", ["--version"]).catch(() => undefined);
  if (hasRunc) runtimes.push(runtime(folder, "runc"));
  else console.log("runc is not here (apt install runc)");
  const results: Record<string, unknown> = {};
  const compare = async (title: string, once: (one: Runtime, id: string) => Promise<void>) => {
    results[title] = await compareOne(title, runtimes, runs, once);
  };
  await compare("run", (one, id) => one.call("run", "--bundle", bundles.true, id));
  await compare("create+start+delete", async (one, id) => {
    await one.call("create", "--bundle", bundles.sleep, id);
    await one.call("start", id);
    await one.call("delete", "--force", id);
  });
  const boxes = new Map(runtimes.map((one, n) => [one, `bench${process.pid}-${n}`]));
  for (const [one, id] of boxes) await one.call("run", "--detach", "--bundle", bundles.sleep, id);
  try {
    await compare("exec", (one) => one.call("exec", boxes.get(one)!, "/bin/true"));
  } finally {
    for (const [one, id] of boxes) await one.call("delete", "--force", id);
  }
  results["memory"] = await compareMemory(runtimes, bundles.sleep);
  return results;
}

async function compareOne(
  title: string,
  runtimes: readonly Runtime[],
  runs: number,
  once: (one: Runtime, id: string) => Promise<void>,
): Promise<Record<string, unknown>> {
  const samples = new Map(runtimes.map((one) => [one, new Samples()]));
  let count = 0;
  const id = () => `bench${process.pid}x${count++}`;
  for (const one of runtimes) await once(one, id());
  for (let n = 0; n < runs; n++) {
    for (const one of runtimes) {
      await one.settle();
      await timed(samples.get(one)!, () => once(one, id()));
    }
  }
  const base = [...samples].find(([{ name }]) => name === "runc")?.[1].p50 ?? Number.NaN;
  const rows = [[title, "p50 ms", "p99 ms", "× runc"]];
  for (const [{ name }, { p50, p99 }] of samples) {
    const ratio = Number.isNaN(base) ? "–" : (p50 / base).toFixed(2);
    rows.push([name, milliseconds(p50), milliseconds(p99), ratio]);
  }
  console.log(`${table(rows)}\n`);
  return Object.fromEntries([...samples].map(([{ name }, { p50, p99 }]) => [name, { p50, p99 }]));
}

function runtime(folder: string, name: string): Runtime {
  const isRunc = name === "runc";
  const runtimeFolder = join(folder, name.replace(/\W+/g, "-"));
  const program = isRunc ? "runc" : PROGRAM;
  const root = join(runtimeFolder, "state");
  const env = { ...process.env, XDG_RUNTIME_DIR: runtimeFolder };
  return {
    ...{ name, program, root, env },
    ...(!isRunc && { warm: runtimeFolder }),
    async call(...args) {
      await mkdir(runtimeFolder, { recursive: true, mode: 0o700 });
      const child = spawn(program, ["--root", root, ...args], { stdio: "ignore", env });
      const [code] = await once(child, "exit");
      if (code !== 0) throw new Error(`${name} ${args.join(" ")}: exit ${code}`);
    },
    async settle() {
      if (name.endsWith("cold")) await endWarm(runtimeFolder);
    },
  };
}

/** A configuration as `spec` writes it, for the payload alone. */
async function bundle(folder: string, verb: string): Promise<string> {
  const path = join(folder, `bundle-${verb}`);
  const rootfs = join(path, "rootfs");
  for (const name of ["bin", "dev", "proc", "sys"])
    await mkdir(join(rootfs, name), { recursive: true });
  await copyFile(await payloadProgram(), join(rootfs, "bin/payload"));
  for (const one of VERBS) await link(join(rootfs, "bin/payload"), join(rootfs, "bin", one));
  await run(PROGRAM, ["spec", "--bundle", path]);
  const file = join(path, "config.json");
  const config = JSON.parse(await readFile(file, "utf8"));
  config.process.terminal = false;
  config.process.args = [`/bin/${verb}`];
  await writeFile(file, JSON.stringify(config));
  return path;
}

/** Processes whose arguments name a folder. */
async function processesOf(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const words = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (words.includes("--gantry-warm") && words.includes(folder)) found.push(Number(name));
  }
  return found;
}

async function endWarm(folder: string): Promise<void> {
  for (const pid of await processesOf(folder)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

async function compareMemory(runtimes: readonly Runtime[], bundle: string): Promise<unknown> {
  const rows = [["memory", "in the foreground (RSS)", "warm process (RSS)"]];
  const results: Record<string, unknown> = {};
  for (const [n, one] of runtimes.entries()) {
    if (one.name.endsWith("cold")) continue;
    const id = `bench${process.pid}m${n}`;
    const words = ["--root", one.root, "run", "--bundle", bundle, id];
    const child = spawn(one.program, words, { stdio: "ignore", env: one.env });
    const ended = once(child, "exit");
    try {
      await isRunning(one, id);
      const own = await rssOf([child.pid!]);
      const warm = one.warm ? await rssOf(await processesOf(one.warm)) : 0;
      rows.push([one.name, kibibytes(own), one.warm ? kibibytes(warm) : "–"]);
      results[one.name] = { ownKib: own, warmKib: warm };
    } finally {
      await one.call("delete", "--force", id);
      await ended;
    }
  }
  console.log(`${table(rows)}\n`);
  return results;
}

async function isRunning(one: Runtime, id: string): Promise<void> {
  for (;;) {
    const words = ["--root", one.root, "state", id];
    const { stdout } = await run(one.program, words, { env: one.env }).catch(() => ({
      stdout: "",
    }));
    if (stdout.includes('"running"')) return;
  }
}
