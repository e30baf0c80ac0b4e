// Whether what a daemon says is what its machine holds: processes, cgroups, interfaces, forwarded
// ports, mounts, and every file beneath its data and exec root, each against the records. Says what
// does not fit, as sentences; nothing where all does.

import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type Docker from "dockerode";
import { cgroupFolders } from "./cgroup-folders.ts";
import type { KernelNetwork } from "./kernel-network.ts";

export interface Node {
  folder: string;
  holderPid: number;
  cgroupParent: string;
  dockerode: Docker;
  kernel: KernelNetwork;
  table: string;
}
type Inspected = Docker.ContainerInspectInfo;

const STATES = ["created", "running", "paused", "restarting", "exited"];
const EXEC_ROOT = /^(m|(ports|resolver)\.sock(\.lock)?|daemon\.(pid|lock(-journal)?)|streams-.*)$/;
const ONCE = ["gantry-spawner", "gantry-ports", "gantry-resolver"];

export async function whatDoesNotFit(node: Node): Promise<string[]> {
  const list = await node.dockerode.listContainers({ all: true });
  const all = await Promise.all(list.map(({ Id }) => node.dockerode.getContainer(Id).inspect()));
  const runs = all.filter(({ State }) => State.Pid > 0); // one that restarts "runs", too
  const database = new DatabaseSync(join(node.folder, "data/gantry.db"), { readOnly: true });
  try {
    return [
      ...states(all),
      ...(await files(node, all, database)),
      ...(await volumes(node, database)),
      ...(await processes(node, runs)),
      ...(await cgroups(node, runs)),
      ...(await networks(node, runs, database)),
      ...(await mounts(node)),
      ...ranges(all),
    ];
  } finally {
    database.close();
  }
}

/** Each on one side only, as a sentence. */
function differ(what: string, found: Iterable<string>, wanted: Iterable<string>): string[] {
  const [is, should] = [[...found].sort(), [...wanted].sort()];
  if (is.join() === should.join()) return [];
  const rest = (a: string[], b: string[]) => a.filter((one) => !b.includes(one)).join(" ");
  return [
    `${what}: too many: ${rest(is, should)}; missing: ${rest(should, is)}; all: ${is.join()}`,
  ];
}

const entries = (path: string): Promise<string[]> => readdir(path).catch(() => []);
const short = (id: string): string => id.slice(0, 12);

function states(all: readonly Inspected[]): string[] {
  const odd = all.filter(({ State }) => !STATES.includes(State.Status));
  return odd.map(({ Id, State }) => `container ${short(Id)} is ${State.Status}`);
}

async function files(
  { folder }: Node,
  all: readonly Inspected[],
  database: DatabaseSync,
): Promise<string[]> {
  const data = join(folder, "data");
  const column = (sql: string): string[] =>
    database
      .prepare(sql)
      .all()
      .map((row) => String(Object.values(row)[0]));
  const ids = all.map(({ Id }) => Id);
  const running = all
    .filter(({ State }) => State.Pid > 0)
    .map(({ Id }) => `${Id.slice(0, 32)}.sock`);
  const problems = [
    ...differ("folders of containers", await entries(join(data, "containers")), ids),
    ...differ("snapshots", column("SELECT id FROM snapshots"), ids),
    ...differ(
      "folders of layers",
      await entries(join(data, "layers")),
      column("SELECT short_id FROM layers"),
    ),
    ...differ("sockets of monitors", await entries(join(folder, "exec/m")), running),
  ];
  for (const name of ["ingest", "builds", "build-contexts", "trash"]) {
    problems.push(...differ(`files in ${name}`, await entries(join(data, name)), []));
  }
  const exec = await entries(join(folder, "exec"));
  problems.push(
    ...exec.filter((name) => !EXEC_ROOT.test(name)).map((name) => `exec root: ${name}`),
  );
  if (exec.filter((name) => name.startsWith("streams-")).length > 1) {
    problems.push("sockets for streams of daemons that are gone");
  }
  return problems;
}

async function volumes({ folder, dockerode }: Node, database: DatabaseSync): Promise<string[]> {
  const said = (await dockerode.listVolumes()).Volumes.map(({ Name }) => Name);
  const onRecord = database
    .prepare("SELECT value FROM records WHERE collection = 'volumes'")
    .all()
    .map(({ value }) => JSON.parse(String(value)) as { name: string; removing?: boolean });
  return [
    ...differ("folders of volumes", await entries(join(folder, "data/volumes")), said),
    ...differ(
      "records of volumes",
      onRecord.filter(({ removing }) => !removing).map(({ name }) => name),
      said,
    ),
  ];
}

async function processes(node: Node, runs: readonly Inspected[]): Promise<string[]> {
  const mnt = await readlink(`/proc/${node.holderPid}/ns/mnt`);
  const monitors: string[] = [];
  const counts = new Map<string, number>();
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    if ((await readlink(`/proc/${pid}/ns/mnt`).catch(() => "")) !== mnt) continue;
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).trim();
    const name = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
    const of = /^gantry-monitor ([0-9a-f]{12})/.exec(command.replaceAll("\0", " "))?.[1];
    if (of !== undefined) monitors.push(of);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const alive = await Promise.all(
    runs.map(async ({ Id, State }) => {
      const cgroup = await readFile(`/proc/${State.Pid}/cgroup`, "utf8").catch(() => "");
      return cgroup.includes(Id) ? [] : [`process ${State.Pid} is not that of ${short(Id)}`];
    }),
  );
  const twice = ONCE.filter((name) => (counts.get(name) ?? 0) > 1);
  return [
    ...differ(
      "monitors",
      monitors,
      runs.map(({ Id }) => short(Id)),
    ),
    ...alive.flat(),
    ...twice.map((name) => `${counts.get(name)} processes ${name}`),
  ];
}

async function cgroups(node: Node, runs: readonly Inspected[]): Promise<string[]> {
  const folders = await cgroupFolders(node.cgroupParent);
  const names = folders
    .filter((path) => !path.endsWith(node.cgroupParent))
    .map((path) => path.split(`${node.cgroupParent}/`)[1]!.split("/")[0]!);
  const standby = [...new Set(names.filter((name) => name.startsWith(".standby-")))];
  const dead: string[] = [];
  for (const name of standby) {
    const comm = await readFile(`/proc/${name.split("-")[1]}/comm`, "utf8").catch(() => "");
    if (!comm.startsWith("gantry-")) dead.push(`cgroup ${name} of nobody`);
  }
  const own = new Set(names.filter((name) => !name.startsWith(".")));
  return [
    ...differ(
      "cgroups",
      own,
      runs.map(({ Id }) => Id),
    ),
    ...dead,
  ];
}

async function networks(
  node: Node,
  runs: readonly Inspected[],
  database: DatabaseSync,
): Promise<string[]> {
  const endpoints = runs.flatMap(({ NetworkSettings }) =>
    Object.entries(NetworkSettings.Networks ?? {})
      .filter(([name]) => name !== "none" && name !== "host")
      .map(([, endpoint]) => endpoint),
  );
  const links = [...(await node.kernel.links()).keys()];
  const leases = database
    .prepare("SELECT value FROM records WHERE collection = 'network-leases'")
    .all()
    .map(({ value }) => (JSON.parse(String(value)) as { endpointId: string }).endpointId);
  const bridges = (await node.dockerode.listNetworks()).map(({ Id }) => `br-${short(Id)}`);
  const published = runs.flatMap(({ NetworkSettings }) =>
    Object.values(NetworkSettings.Ports ?? {}).flatMap((list) =>
      (list ?? []).filter(({ HostIp }) => !HostIp.includes(":")).map(({ HostPort }) => HostPort),
    ),
  );
  const elements = await node.kernel.elements(node.table);
  const forwarded = elements.filter((element) => element.startsWith("any4 "));
  const veths = links.filter((name) => name.startsWith("veth"));
  const strays = links.filter((name) => name.startsWith("br-") && !bridges.includes(name));
  const problems = strays.map((name) => `bridge ${name} of no network`);
  problems.push(
    ...differ(
      "leases",
      leases,
      endpoints.map(({ EndpointID }) => EndpointID),
    ),
  );
  if (veths.length !== endpoints.length) {
    problems.push(`${veths.length} interfaces for ${endpoints.length} endpoints`);
  }
  if (forwarded.length !== published.length) {
    problems.push(`${forwarded.join()} forwarded, ${published.join()} published`);
  }
  return problems;
}

async function mounts({ folder, holderPid }: Node): Promise<string[]> {
  const table = await readFile(`/proc/${holderPid}/mountinfo`, "utf8");
  return table
    .split("\n")
    .filter((line) => line.includes(folder))
    .map((line) => `mount ${line}`);
}

function ranges(all: readonly Inspected[]): string[] {
  const starts = all.flatMap(({ HostConfig }) => {
    const maps = (HostConfig as { IDMappings?: { UidMap?: string[] } }).IDMappings?.UidMap;
    return maps?.length ? [maps[0]!.split(":")[1]!] : [];
  });
  return new Set(starts).size === starts.length ? [] : [`a range of ids twice: ${starts.join()}`];
}
