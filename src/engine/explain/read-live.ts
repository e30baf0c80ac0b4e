// What the kernel says of a running container now: /proc, its cgroup files, its network namespace,
// the firewall. The pid is checked before and after, so that what is told is of this container
// and not of another process that got its number.

import { readdir, readFile, readlink } from "node:fs/promises";
import { errnoOf, GantryError } from "../../base/index.ts";
import type { Operation } from "../../native/index.ts";
import { lookInside } from "../../network/index.ts";
import { type PlanFacts, parseMountinfo } from "../../runtime/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { LiveFacts } from "../contract.ts";
import { parseLimits, parseStatus, startTicksOf } from "./parse-proc.ts";

const NAMESPACE_FILES = {
  pid: "pid",
  network: "net",
  ipc: "ipc",
  uts: "uts",
  mount: "mnt",
  user: "user",
  cgroup: "cgroup",
  time: "time",
} as const;
const FILE_BYTES_MAX = 4096;
const COMMAND_BYTES_MAX = 256 * 1024;
const READ_DEADLINE_MS = 5_000;
const O_PATH = 0o10000000;
const O_NOFOLLOW = 0o400000;
const CLONE_NEWUSER = 0x10000000;
const CLONE = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 } as const;

/** Throws conflict when it does not run any more. */
export async function readLive(
  engine: EngineContext,
  c: ContainerRecord,
  plan: PlanFacts,
): Promise<LiveFacts> {
  const { run } = c;
  if (!run) throw new GantryError("conflict", `container ${c.name} does not run`);
  const at = `/proc/${run.pid}`;
  const check = async () => {
    const ticks = startTicksOf(await readFile(`${at}/stat`, "utf8").catch(() => ""));
    if (ticks !== run.startTicks) {
      throw new GantryError("conflict", `container ${c.name} has just ended`);
    }
  };
  await check();
  const [inside, network, firewall, namespaces] = await Promise.all([
    readInside(engine, { pid: run.pid, userns: plan.idMaps.uid !== "" }, plan.sysctls),
    lookInside(engine.native, run.pid),
    firewallOf(engine, c),
    readNamespaces(at),
  ]);
  const cgroupFiles: Record<string, string> = {};
  for (const path of filesOf(plan)) cgroupFiles[path] = await text(path);
  const memory = await memoryOf(run.cgroupPaths);
  const facts: LiveFacts = {
    pid: run.pid,
    startedAt: c.startedAt,
    command: await commandOf(engine, run.pid),
    executable: await link(`${at}/exe`),
    workingFolder: await link(`${at}/cwd`),
    namespaces,
    mounts: parseMountinfo(await text(`${at}/mountinfo`)),
    hideable: await existing(engine, run.pid, [...plan.maskedPaths, ...plan.readonlyPaths]),
    cgroupFiles,
    processes: await countProcesses(run.cgroupPaths),
    ...(memory !== undefined && { memoryBytes: memory }),
    status: parseStatus(await text(`${at}/status`)),
    rlimits: parseLimits(await text(`${at}/limits`)),
    oomScoreAdj: Number(await text(`${at}/oom_score_adj`)),
    ...inside,
    network,
    firewall,
    descriptors: await readDescriptors(at),
  };
  await check();
  return facts;
}

const text = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const link = (path: string): Promise<string> => readlink(path).catch(() => "");

async function readNamespaces(at: string): Promise<LiveFacts["namespaces"]> {
  return Promise.all(
    Object.entries(NAMESPACE_FILES).map(async ([type, file]) => {
      const [inode, own] = await Promise.all([
        link(`${at}/ns/${file}`),
        link(`/proc/self/ns/${file}`),
      ]);
      return { type, inode, sharedWithHost: inode === own };
    }),
  );
}

/** Read by the native program, which is ended when it takes too long: what a process calls its
 * arguments may be memory of a file whose file system never answers. */
async function commandOf({ native }: EngineContext, pid: number): Promise<string[]> {
  const path = `/proc/${pid}/cmdline`;
  const host: Operation[] = [{ op: "readFile", path, max: COMMAND_BYTES_MAX, missingOk: true }];
  const results = await native.run({ host, deadlineMs: READ_DEADLINE_MS }).catch(() => undefined);
  if (!results?.has(0)) return [];
  return new TextDecoder().decode(results.bytes(0)).split("\0").slice(0, -1);
}

/** Which of the paths are there. A file system of the container's own may be mounted in the way:
 * this is the native program's, too, and what follows one that does not answer is not told of. */
async function existing(
  { native }: EngineContext,
  pid: number,
  paths: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (let left = paths; left.length > 0; ) {
    const host = left.map(
      (path): Operation => ({
        op: "open",
        path: `/proc/${pid}/root${path}`,
        flags: O_PATH | O_NOFOLLOW,
        to: 0,
      }),
    );
    const missing = await native.run({ host, deadlineMs: READ_DEADLINE_MS }).then(
      () => left.length,
      (error: unknown) => (errnoOf(error) === "ENOENT" ? indexOf(error) : -1),
    );
    if (missing < 0) break;
    found.push(...left.slice(0, missing));
    left = left.slice(missing + 1);
  }
  return found;
}

const indexOf = (error: unknown): number => Number((error as GantryError).detail["index"] ?? -1);

function filesOf({ limits, cgroups }: PlanFacts): string[] {
  const devices = cgroups.find(({ controllers }) => controllers.includes("devices"));
  return [
    ...limits.map(({ path, file }) => `${path}/${file}`),
    ...(devices ? [`${devices.path}/devices.list`] : []),
  ];
}

async function memoryOf(paths: Readonly<Record<string, string>>): Promise<number | undefined> {
  const v1 = paths["memory"];
  const file = v1 ? `${v1}/memory.usage_in_bytes` : `${paths[""] ?? ""}/memory.current`;
  const value = await text(file);
  return value === "" ? undefined : Number(value);
}

async function countProcesses(paths: Readonly<Record<string, string>>): Promise<number> {
  const folder = paths["pids"] ?? paths["memory"] ?? paths[""] ?? Object.values(paths)[0];
  const lines = await text(`${folder}/cgroup.procs`);
  return lines.split("\n").filter((line) => line !== "").length;
}

/** sysctls and the host name are those of the namespaces of whoever reads them. */
async function readInside(
  engine: EngineContext,
  { pid, userns }: { pid: number; userns: boolean },
  sysctls: PlanFacts["sysctls"],
): Promise<Pick<LiveFacts, "sysctls" | "hostname">> {
  // Ids in them are those of the reader's user namespace, which takes from us what the rest needs.
  const spaces = [...Object.entries(CLONE), ...(userns ? [["user", CLONE_NEWUSER] as const] : [])];
  const enter = spaces.flatMap(([file, flags]): Operation[] => [
    { op: "open", path: `/proc/${pid}/ns/${file}`, flags: 0, to: 0 },
    { op: "setns", slot: 0, flags },
    { op: "close", slot: 0 },
  ]);
  const files = ["/proc/sys/kernel/hostname", ...sysctls.map(({ name }) => pathOf(name))];
  const host: Operation[] = [
    ...enter,
    ...files.map(
      (path): Operation => ({ op: "readFile", path, max: FILE_BYTES_MAX, missingOk: true }),
    ),
  ];
  const results = await engine.native.run({ host });
  const values = files.map((_, index) =>
    results.has(enter.length + index)
      ? new TextDecoder().decode(results.bytes(enter.length + index)).trim()
      : "",
  );
  const [hostname = "", ...rest] = values;
  const named = sysctls.map(({ name }, index) => [name, rest[index] ?? ""]);
  return { hostname, sysctls: Object.fromEntries(named) };
}

function pathOf(name: string): string {
  const swap: Record<string, string> = { "/": ".", ".": "/" };
  return `/proc/sys/${name.replace(/[./]/g, (c) => swap[c]!)}`;
}

async function firewallOf(
  engine: EngineContext,
  c: ContainerRecord,
): Promise<LiveFacts["firewall"]> {
  const record = c.run?.attachments.find(({ ports }) => ports.length > 0);
  if (!record || !c.run) return [];
  const lines = await engine.network.explain({ record, pid: c.run.pid });
  return lines.filter(({ about }) => !about.startsWith("listener"));
}

async function readDescriptors(at: string): Promise<LiveFacts["descriptors"]> {
  const names = await readdir(`${at}/fd`).catch(() => [] as string[]);
  const standard = await Promise.all([0, 1, 2].map((fd) => link(`${at}/fd/${fd}`)));
  return { count: names.length, standard };
}
