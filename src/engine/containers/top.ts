// Top: the host's ps, filtered to the processes of the container's cgroup, as docker does it.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import { announce } from "./announce.ts";
import { type ContainerRecord, isRestarting, isRunning } from "./record.ts";

const PS_DEADLINE_MS = 10_000;
const PS_OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export async function topContainer(
  engine: EngineContext,
  ref: string,
  psArgs: string,
): Promise<{ Titles: string[]; Processes: string[][] }> {
  const c = engine.containers.find(ref);
  const args = psArgs.trim() === "" ? ["-ef"] : psArgs.trim().split(/\s+/);
  for (const arg of args) {
    if (/pid\s*=/i.test(arg)) {
      throw new GantryError("invalid", `specifying "${arg}" is not allowed`);
    }
  }
  if (!isRunning(c)) throw new GantryError("conflict", `container ${c.id} is not running`);
  if (isRestarting(c)) throw new GantryError("conflict", `container ${c.id} is restarting`);
  const pids = new Set(await pidsOf(c));
  const output = await ps(args);
  announce(engine, c, "top");
  return selectProcesses(output, pids);
}

/** The pids in the container's cgroup, in the daemon's pid namespace. */
export async function pidsOf(c: ContainerRecord): Promise<number[]> {
  const paths = c.run?.cgroupPaths ?? {};
  const folder = paths["pids"] ?? paths["memory"] ?? paths[""] ?? Object.values(paths)[0];
  if (folder === undefined) return c.run ? [c.run.pid] : [];
  const text = await readFile(`${folder}/cgroup.procs`, "utf8");
  return text.split("\n").filter(Boolean).map(Number);
}

function ps(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    // It looks at every process, and one may have a file system that never answers.
    const options = {
      timeout: PS_DEADLINE_MS,
      killSignal: "SIGKILL",
      maxBuffer: PS_OUTPUT_BYTES_MAX,
    } as const;
    execFile("ps", args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const why = stderr.trim().split("\n")[0] || error.message;
      reject(new GantryError("internal", `error running ps: ${why}`, { cause: error }));
    });
  });
}

/** Pure: keeps the rows of `pids`; the last column takes the rest of its line. */
export function selectProcesses(
  output: string,
  pids: ReadonlySet<number>,
): { Titles: string[]; Processes: string[][] } {
  const [head = "", ...rows] = output.trimEnd().split("\n");
  const titles = head.trim().split(/\s+/);
  const pidColumn = titles.indexOf("PID");
  if (pidColumn < 0) throw new GantryError("internal", "Couldn't find PID field in ps output");
  const processes: string[][] = [];
  for (const row of rows) {
    const fields = row.trim().split(/\s+/);
    if (!pids.has(Number(fields[pidColumn]))) continue;
    const last = fields.slice(titles.length - 1).join(" ");
    processes.push([...fields.slice(0, titles.length - 1), last]);
  }
  return { Titles: titles, Processes: processes };
}
