// What a plan would do, read back from its operations: not from the configuration that it was made
// of, so that what `explain` says cannot drift from what is run. Slots are followed as the native
// program fills them. Pure.

import type { Operation } from "../../native/index.ts";
import { capabilitiesOf } from "../capabilities.ts";
import type { PlannedCreate } from "../contract.ts";
import { RLIMITS } from "../kernel-numbers.ts";
import { NAMESPACE_FLAGS, type NamespaceType } from "../namespaces.ts";
import { type DeviceNode, type MountFact, type RootFact, readMounts } from "./mount-facts.ts";

export interface NamespaceFact {
  type: NamespaceType;
  /** "host": the daemon's own, which nothing is done about. */
  is: "new" | "joined" | "host";
  /** Of a joined one. */
  path?: string;
  /** The system call that makes or enters it. */
  by?: "clone3" | "unshare" | "setns";
}
export interface CgroupFact {
  version: 1 | 2;
  controllers: string[]; // empty: the unified hierarchy, for cgroup.kill only
  path: string;
}
export interface LimitFact {
  path: string;
  file: string;
  value: string;
}
export interface CapabilityFacts {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}
export interface ProcessFacts {
  argv: readonly string[];
  env: readonly string[];
  cwd: string;
  uid: number;
  gid: number;
  groups: number[];
  umask: number;
  noNewPrivileges: boolean;
  rlimits: { name: string; soft: string; hard: string }[];
  oomScoreAdj?: number;
  terminal: boolean;
}
export interface PlanFacts {
  namespaces: NamespaceFact[];
  cgroups: CgroupFact[];
  limits: LimitFact[];
  /** v1: lines of devices.deny and devices.allow; v2: that a program decides. */
  deviceRules: { lines: string[]; program: boolean };
  root: RootFact;
  mounts: MountFact[];
  devices: DeviceNode[];
  maskedPaths: string[];
  readonlyPaths: string[];
  capabilities: CapabilityFacts;
  /** The compiled filter. */
  seccomp?: { instructions: number };
  process: ProcessFacts;
  sysctls: { name: string; value: string }[];
  hostname?: string;
  domainname?: string;
  idMaps: { uid: string; gid: string };
}

type Of<N extends Operation["op"]> = Extract<Operation, { op: N }>;

const SOCK_FILTER_BYTES = 8;
const PR_SET_NO_NEW_PRIVS = 38;
const PROC_SYS = "/proc/sys/";

export function planFacts({ plan, cgroupPaths }: PlannedCreate): PlanFacts {
  const { host, container } = plan;
  const all = [...host, ...container];
  const list = <N extends Operation["op"]>(name: N, from = all): Of<N>[] =>
    from.filter((operation): operation is Of<N> => operation.op === name);
  const cgroups = cgroupsOf(cgroupPaths);
  const filter = list("seccomp").at(-1);
  const [hostname] = list("hostname");
  const [domainname] = list("domainname");
  return {
    namespaces: namespacesOf(host, container),
    cgroups,
    ...writesOf(list("write"), cgroups, list("bpfCgroupDevice").length > 0),
    ...readMounts(host, container),
    maskedPaths: list("maskPath").map(({ path }) => path),
    readonlyPaths: list("readonlyPath").map(({ path }) => path),
    capabilities: capabilitiesIn(container),
    ...(filter && { seccomp: { instructions: filter.filter.length / SOCK_FILTER_BYTES } }),
    process: processOf(container, list("writeProc")),
    sysctls: list("write", [...container])
      .filter(({ path }) => path.startsWith(PROC_SYS))
      .map(({ path, data }) => ({ name: sysctlName(path), value: text(data) })),
    ...(hostname && { hostname: hostname.name }),
    ...(domainname && { domainname: domainname.name }),
    idMaps: idMapsOf(list("writeProc")),
  };
}

const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** A dot in a name stands for a dot; one in a part of it, for a slash, as sysctl(8) has it. */
function sysctlName(path: string): string {
  const swap: Record<string, string> = { "/": ".", ".": "/" };
  return path.slice(PROC_SYS.length).replace(/[./]/g, (c) => swap[c]!);
}

function namespacesOf(host: readonly Operation[], container: readonly Operation[]) {
  const made = new Map<NamespaceType, NamespaceFact>();
  const cloneAt = host.findIndex(({ op }) => op === "clone");
  const take = (flags: number | bigint, by: "clone3" | "unshare"): void => {
    for (const [type, flag] of Object.entries(NAMESPACE_FLAGS) as [NamespaceType, number][]) {
      if (Number(flags) & flag) made.set(type, { type, is: "new", by });
    }
  };
  const paths = new Map<number, string>();
  const walk = (operation: Operation): void => {
    if (operation.op === "open") paths.set(operation.to, operation.path);
    else if (operation.op === "clone") take(operation.flags, "clone3");
    else if (operation.op === "setns") {
      const path = paths.get(operation.slot) ?? "";
      for (const [type, flag] of Object.entries(NAMESPACE_FLAGS) as [NamespaceType, number][]) {
        if (Number(operation.flags ?? 0) !== flag || path === "/proc/self/ns/mnt") continue;
        if (type === "mount") continue; // a visit, to clone a mount that is attached there
        made.set(type, { type, is: "joined", path, by: "setns" });
      }
    } else if (operation.op === "unshare" && Number(operation.flags) !== NAMESPACE_FLAGS.mount) {
      take(operation.flags, "unshare");
    }
  };
  for (const operation of host.slice(0, cloneAt + 1)) walk(operation);
  for (const operation of container) walk(operation);
  const types = Object.keys(NAMESPACE_FLAGS) as NamespaceType[];
  return types.map((type): NamespaceFact => made.get(type) ?? { type, is: "host" });
}

function cgroupsOf(paths: Readonly<Record<string, string>>): CgroupFact[] {
  const folders = new Map<string, CgroupFact>();
  for (const [controller, path] of Object.entries(paths)) {
    const known = folders.get(path);
    if (controller === "") folders.set(path, { version: 2, controllers: [], path });
    else if (known) known.controllers.push(controller);
    else folders.set(path, { version: 1, controllers: [controller], path });
  }
  return [...folders.values()];
}

function writesOf(
  writes: readonly Of<"write">[],
  cgroups: readonly CgroupFact[],
  program: boolean,
): Pick<PlanFacts, "limits" | "deviceRules"> {
  const limits: LimitFact[] = [];
  const lines: string[] = [];
  for (const { path, data } of writes) {
    const folder = cgroups.find((cgroup) => path.startsWith(`${cgroup.path}/`));
    if (!folder) continue;
    const file = path.slice(folder.path.length + 1);
    const value = text(data);
    if (file === "devices.allow" || file === "devices.deny") {
      lines.push(`${file.slice("devices.".length)} ${value}`);
    } else limits.push({ path: folder.path, file, value });
  }
  return { limits, deviceRules: { lines, program } };
}

function capabilitiesIn(container: readonly Operation[]): CapabilityFacts {
  const last = <N extends Operation["op"]>(name: N) =>
    container.findLast((operation): operation is Of<N> => operation.op === name);
  const names = (mask: number | bigint | undefined) => capabilitiesOf(BigInt(mask ?? 0));
  const set = last("capset");
  return {
    bounding: names(last("capBounding")?.keep),
    effective: names(set?.effective),
    permitted: names(set?.permitted),
    inheritable: names(set?.inheritable),
    ambient: names(last("capAmbient")?.raise),
  };
}

const limitNames = new Map(Object.entries(RLIMITS).map(([name, number]) => [number, name]));

function processOf(
  container: readonly Operation[],
  proc: readonly Of<"writeProc">[],
): ProcessFacts {
  const last = <N extends Operation["op"]>(name: N) =>
    container.findLast((operation): operation is Of<N> => operation.op === name);
  const shown = (value: number | bigint) => (BigInt(value) < 0n ? "unlimited" : String(value));
  const score = proc.find(({ file }) => file === "oom_score_adj");
  const command = last("execve");
  return {
    argv: command?.argv ?? [],
    env: command?.env ?? [],
    cwd: last("chdir")?.path ?? "/",
    uid: Number(last("setuid")?.uid ?? 0),
    gid: Number(last("setgid")?.gid ?? 0),
    groups: (last("setgroups")?.gids ?? []).map(Number),
    umask: Number(last("umask")?.mode ?? 0),
    noNewPrivileges: container.some(
      (operation) => operation.op === "prctl" && operation.option === PR_SET_NO_NEW_PRIVS,
    ),
    rlimits: container
      .filter((operation): operation is Of<"rlimit"> => operation.op === "rlimit")
      .map(({ resource, soft, hard }) => ({
        name: limitNames.get(Number(resource)) ?? String(resource),
        soft: shown(soft),
        hard: shown(hard),
      })),
    ...(score && { oomScoreAdj: Number(text(score.data)) }),
    terminal: container.some(({ op }) => op === "pty"),
  };
}

function idMapsOf(proc: readonly Of<"writeProc">[]): PlanFacts["idMaps"] {
  const map = (name: string) =>
    text(proc.find(({ file }) => file === name)?.data ?? new Uint8Array());
  return { uid: map("uid_map").trim(), gid: map("gid_map").trim() };
}
