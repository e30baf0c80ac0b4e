// The tree of the containers' cgroups, with what each uses: for `cgls` and `cgtop`. Only the
// folders of our containers are entered, and the parent where nobody else's are. A container makes
// as many groups as it likes in its own, so all is counted and cut.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerRecord } from "../containers/record.ts";
import { isRunning, stateOf } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { CgroupGroup, CgroupProcess, CgroupTree, CgroupUsage } from "../contract.ts";
import { parsePressure, parseUsage, USAGE_FILES } from "./cgroup-usage.ts";

const GROUPS_MAX = 4096;
const DEPTH_MAX = 16;
const PROCESSES_MAX = 16_384;
const COMMAND_BYTES_MAX = 256;
const STANDBY = /^\.standby-/;

/** Folder by controller; the unified hierarchy has the key "". */
type Folders = Readonly<Record<string, string>>;

interface Walk {
  version: 1 | 2;
  withProcesses: boolean;
  groups: CgroupGroup[];
  processes: number;
  truncated: boolean;
}

/** Every group of ours at this moment. `processes` adds who is in each. */
export async function cgroupTree(
  engine: EngineContext,
  { processes = false }: { processes?: boolean } = {},
): Promise<CgroupTree> {
  const { cgroup, memoryTotalBytes } = engine.runtime.kernel;
  const version = cgroup.v1.size > 0 ? 1 : 2;
  const walk: Walk = {
    version,
    withProcesses: processes,
    groups: [],
    processes: 0,
    truncated: false,
  };
  const parent = engine.runtime.cgroups.folderOf(engine.options.cgroupParent);
  const mounts: Record<string, string> = Object.fromEntries(cgroup.v1);
  if (cgroup.v2) mounts[""] = cgroup.v2.path;
  const ofParent = beneath(mounts, parent);
  const running = engine.containers.all().filter(isRunning);
  await addGroup(walk, ofParent, parent, undefined);
  for (const c of running) {
    const folders = c.run?.cgroupPaths ?? {};
    await addTree(walk, folders, pathOf(mounts, folders), { depth: 0, container: c });
  }
  if (engine.options.cgroupParentIsOwn) await addOthers(walk, ofParent, parent, running);
  return {
    Version: version,
    Parent: parent,
    Time: Number(process.hrtime.bigint()),
    Host: {
      MemoryBytes: memoryTotalBytes ?? 0,
      Cpus: onlineCpus(engine.runtime.kernel.cpus),
      Pressure: await hostPressure(),
    },
    Groups: walk.groups,
    Truncated: walk.truncated,
  };
}

/** Groups of builds and of what is just starting: in the parent, but of no running container. */
async function addOthers(
  walk: Walk,
  parents: Folders,
  path: string,
  running: readonly ContainerRecord[],
): Promise<void> {
  const known = new Set(running.map(({ id }) => id));
  for (const name of await childrenOf(walk, parents)) {
    if (known.has(name) || STANDBY.test(name)) continue;
    await addTree(walk, beneath(parents, `/${name}`), `${path}/${name}`, { depth: 0 });
  }
}

async function addTree(
  walk: Walk,
  folders: Folders,
  path: string,
  { depth, container }: { depth: number; container?: ContainerRecord },
): Promise<void> {
  if (!(await addGroup(walk, folders, path, container))) return;
  const children = await childrenOf(walk, folders);
  if (depth >= DEPTH_MAX && children.length > 0) walk.truncated = true;
  if (depth >= DEPTH_MAX) return;
  for (const name of children) {
    await addTree(walk, beneath(folders, `/${name}`), `${path}/${name}`, { depth: depth + 1 });
  }
}

/** False where there is no room for more. */
async function addGroup(
  walk: Walk,
  folders: Folders,
  path: string,
  container: ContainerRecord | undefined,
): Promise<boolean> {
  if (walk.groups.length >= GROUPS_MAX) {
    walk.truncated = true;
    return false;
  }
  const group: CgroupGroup = { Path: path, ...(await usageOf(walk.version, folders)) };
  if (container) group.Container = containerFacts(container);
  if (walk.withProcesses) group.Processes = await processesOf(walk, folders);
  walk.groups.push(group);
  return true;
}

function containerFacts(c: ContainerRecord): NonNullable<CgroupGroup["Container"]> {
  return {
    Id: c.id,
    Name: c.name,
    Image: c.imageName,
    State: stateOf(c).Status,
    Labels: c.config.Labels ?? {},
  };
}

async function usageOf(version: 1 | 2, folders: Folders): Promise<CgroupUsage> {
  const contents = new Map<string, string>();
  await Promise.all(
    USAGE_FILES[version].map(async ([controller, file]) => {
      const folder = folders[controller];
      if (folder !== undefined) contents.set(file, await textOf(join(folder, file)));
    }),
  );
  return parseUsage(version, (_, file) => contents.get(file) ?? "");
}

async function processesOf(walk: Walk, folders: Folders): Promise<CgroupProcess[]> {
  const folder = walkedFolder(walk.version, folders);
  if (folder === undefined) return [];
  const text = await textOf(join(folder, "cgroup.procs"));
  const pids = [...new Set(text.split("\n").filter(Boolean).map(Number))].sort((a, b) => a - b);
  const room = Math.max(0, PROCESSES_MAX - walk.processes);
  if (pids.length > room) walk.truncated = true;
  const kept = pids.slice(0, room);
  walk.processes += kept.length;
  return Promise.all(kept.map(async (Pid) => ({ Pid, Command: await commandOf(Pid) })));
}

async function commandOf(pid: number): Promise<string> {
  const line = (await textOf(`/proc/${pid}/cmdline`)).slice(0, COMMAND_BYTES_MAX);
  if (line !== "") return line.replace(/\0+$/, "").replaceAll("\0", " ");
  return `[${(await textOf(`/proc/${pid}/comm`)).trim()}]`;
}

async function childrenOf(walk: Walk, folders: Folders): Promise<string[]> {
  const folder = walkedFolder(walk.version, folders);
  if (folder === undefined) return [];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names = entries.filter((one) => one.isDirectory()).map(({ name }) => name);
  if (names.length > GROUPS_MAX) walk.truncated = true;
  return names.slice(0, GROUPS_MAX).sort();
}

/** The hierarchy that tells which groups there are and who is in them. */
function walkedFolder(version: 1 | 2, folders: Folders): string | undefined {
  return version === 2 ? folders[""] : (folders["pids"] ?? folders["memory"] ?? folders["cpu"]);
}

function beneath(folders: Folders, path: string): Folders {
  return Object.fromEntries(
    Object.entries(folders).map(([controller, folder]) => [controller, folder + path]),
  );
}

function pathOf(mounts: Folders, folders: Folders): string {
  for (const [controller, folder] of Object.entries(folders)) {
    const mount = mounts[controller];
    if (mount !== undefined && folder.startsWith(mount)) return folder.slice(mount.length);
  }
  return "";
}

function onlineCpus(list = "0"): number {
  return list.split(",").reduce((sum, range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return sum + last - first + 1;
  }, 0);
}

async function hostPressure(): Promise<CgroupUsage["Pressure"]> {
  const [Cpu, Memory, Io] = await Promise.all(
    ["cpu", "memory", "io"].map(async (name) =>
      parsePressure(await textOf(`/proc/pressure/${name}`)),
    ),
  );
  return { Cpu: Cpu ?? null, Memory: Memory ?? null, Io: Io ?? null };
}

/** A group may be gone at any moment, and so its files. */
function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
