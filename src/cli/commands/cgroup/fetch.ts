// The daemon's answer about the containers' cgroups, and the tree that its flat list means.

import type { Client } from "../../../client/index.ts";

interface Stall {
  SomePercent: number;
  FullPercent: number;
}
export interface Group {
  Path: string;
  Cpu: {
    UsageNanoseconds: number | null;
    ThrottledNanoseconds: number;
    LimitCpus: number | null;
    Weight: number | null;
  };
  Memory: {
    UsageBytes: number | null;
    LimitBytes: number | null;
    CacheBytes: number;
    SwapBytes: number;
    OomKills: number;
  };
  Io: { ReadBytes: number; WriteBytes: number };
  Pids: { Current: number | null; Limit: number | null };
  Pressure: { Cpu: Stall | null; Memory: Stall | null; Io: Stall | null };
  Container?: {
    Id: string;
    Name: string;
    Image: string;
    State: string;
    Labels: Record<string, string>;
  };
  Processes?: { Pid: number; Command: string }[];
}
export interface Cgroups {
  Version: 1 | 2;
  Parent: string;
  Time: number;
  Host: { MemoryBytes: number; Cpus: number; Pressure: Group["Pressure"] };
  Groups: Group[];
  Truncated: boolean;
}
export interface GroupNode {
  group: Group;
  children: GroupNode[];
}

export function fetchCgroups(
  client: Client,
  { processes = false, signal }: { processes?: boolean; signal: AbortSignal },
): Promise<Cgroups> {
  const query = { processes: processes || undefined };
  return client.json<Cgroups>("GET", "/gantry/cgroups", { query, signal });
}

/** Groups beneath the groups that hold them; what is beneath no other is a root. */
export function groupTree(groups: readonly Group[]): GroupNode[] {
  const nodes = new Map(
    groups.map((group) => [group.Path, { group, children: [] as GroupNode[] }]),
  );
  const roots: GroupNode[] = [];
  for (const node of nodes.values()) {
    const above = parentOf(node.group.Path, nodes);
    if (above) above.children.push(node);
    else roots.push(node);
  }
  return roots;
}

function parentOf(path: string, nodes: ReadonlyMap<string, GroupNode>): GroupNode | undefined {
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
    const found = nodes.get(path.slice(0, at));
    if (found) return found;
  }
  return undefined;
}

/** A container's name, or the last part of the path; a nested group shows both. */
export function groupName({ Path, Container }: Group): string {
  return Container?.Name ?? Path.slice(Path.lastIndexOf("/") + 1);
}

/** Memory that is really taken: cache that can be given back is not counted, as in `stats`. */
export function usedBytes({ UsageBytes, CacheBytes }: Group["Memory"]): number | null {
  if (UsageBytes === null) return null;
  return CacheBytes < UsageBytes ? UsageBytes - CacheBytes : UsageBytes;
}
