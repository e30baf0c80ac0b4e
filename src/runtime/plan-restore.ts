// A container that CRIU brings back from a checkpoint: what surrounds it (cgroups, network, root
// file system, pipes) is made as for a new one, then CRIU runs in the place of the container's
// program and makes the processes and their other namespaces itself.
//
// CRIU needs the host's view (paths of binds, cgroup folders), so the new process has only a mount
// namespace of its own, in which the root file system is mounted on a folder.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { cgroupPathFor, cgroupPathsOf, cgroupPlaces } from "./cgroup/places.ts";
import {
  oomPath,
  planCgroupClaim,
  planCgroupCreate,
  planCgroupKill,
} from "./cgroup/plan-cgroup.ts";
import type { CreateInput, PlannedCreate } from "./contract.ts";
import { CLONE, MAGIC, MS, O } from "./kernel-numbers.ts";
import { loopbackUp } from "./loopback.ts";
import { PlanBuilder, POINT, SLOT } from "./plan-builder.ts";
import { planDevNull } from "./plan-devices.ts";
import { planRootfs } from "./plan-rootfs.ts";
import { planPipes } from "./plan-streams.ts";

const DEADLINE_MS = 300_000;
/** Where CRIU finds what it is handed. */
export const RESTORE_FDS = { network: 100, stdin: 101, stdout: 102, stderr: 103 } as const;

export interface RestoreInput extends CreateInput {
  program: { argv: string[]; env: string[]; pidFile: string; leave?: boolean };
  /** An existing empty folder for the root file system. */
  rootFolder: string;
  /** It has a network namespace of its own. */
  ownNetwork: boolean;
}

export function planRestore(input: RestoreInput): PlannedCreate {
  const { id, spec, kernel, rootfs, monitor } = input;
  if (!input.standalone && Object.values(spec.hooks ?? {}).some((list) => list.length > 0)) {
    throw new GantryError("not-implemented", "containers with hooks are not restored");
  }
  const builder = new PlanBuilder();
  const { host, container, teardown } = builder;
  const places = cgroupPlaces(kernel.cgroup, spec.linux?.cgroupsPath ?? cgroupPathFor(id));
  const cgroupPaths = cgroupPathsOf(places);
  if (input.standalone) host.push(...planCgroupClaim(places, input.standalone.claimFile));
  teardown.push(...planCgroupKill(cgroupPaths));
  if (input.network) teardown.push(...input.network.teardown());
  const resources = spec.linux?.resources ?? {};
  const share = planCgroupCreate(builder, places, resources, { prepared: false });
  host.push(...planDevNull(), ...(input.standalone ? ownStreams() : pipes(input)));
  planRootfs(builder, rootfs, kernel);
  if (input.ownNetwork) host.push(...newNetwork(builder, input));
  host.push({
    op: "clone",
    flags: CLONE.NEWNS,
    pid: SLOT.pid,
    pidfd: SLOT.pidfd,
    ...(share.cgroup !== undefined && { cgroup: share.cgroup }),
  });
  host.push(...share.limits, { op: "signalPeer", point: POINT.attached });
  container.push(
    { op: "setsid" },
    { op: "propagation", path: "/", flags: MS.SLAVE | MS.REC },
    { op: "moveMount", slot: SLOT.rootfs, path: input.rootFolder },
    ...handed(input),
    { op: "awaitPeer", point: POINT.attached },
    { op: "unlink", path: input.program.pidFile, missingOk: true },
    { op: "restore", ...input.program },
  );
  return {
    plan: builder.plan(DEADLINE_MS),
    monitor: { ...monitor, oomPath: oomPath(places) },
    results: {},
    cgroupPaths,
  };
}

const pipes = ({ monitor, spec }: RestoreInput): Operation[] =>
  planPipes(monitor.openStdin, userOf(spec));

/** Those of whoever runs the plan. */
const ownStreams = (): Operation[] => [
  { op: "takeFd", fd: 0, to: SLOT.stdinRead },
  { op: "takeFd", fd: 1, to: SLOT.stdoutWrite },
  { op: "takeFd", fd: 2, to: SLOT.stderrWrite },
];

const userOf = ({ process }: OciSpec): number => process?.user.uid ?? 0;

/** A network namespace before there is a process in it: CRIU puts what it restores into it. */
function newNetwork(builder: PlanBuilder, { network, spec }: RestoreInput): Operation[] {
  const joined = spec.linux?.namespaces?.find(({ type }) => type === "network")?.path;
  if (joined) {
    return [
      { op: "open", path: joined, flags: O.RDONLY, to: SLOT.netns },
      { op: "assertFilesystem", slot: SLOT.netns, magic: MAGIC.NSFS },
    ];
  }
  const home = builder.allocate("the network namespace of the host");
  const path = "/proc/self/ns/net";
  return [
    { op: "open", path, flags: O.RDONLY, to: home },
    { op: "unshare", flags: CLONE.NEWNET },
    { op: "open", path, flags: O.RDONLY, to: SLOT.netns },
    loopbackUp(),
    { op: "setns", slot: home, flags: CLONE.NEWNET },
    { op: "close", slot: home },
    ...(network?.host({ pid: SLOT.pid, netns: SLOT.netns }) ?? []),
  ];
}

function handed({ monitor, ownNetwork }: RestoreInput): Operation[] {
  const fds = RESTORE_FDS;
  return [
    ...[0, 1, 2].map((fd): Operation => ({ op: "dup2", slot: SLOT.devNull, fd })),
    ...(ownNetwork ? [{ op: "dup2", slot: SLOT.netns, fd: fds.network } as const] : []),
    ...(monitor.openStdin ? [{ op: "dup2", slot: SLOT.stdinRead, fd: fds.stdin } as const] : []),
    { op: "dup2", slot: SLOT.stdoutWrite, fd: fds.stdout },
    { op: "dup2", slot: SLOT.stderrWrite, fd: fds.stderr },
  ];
}
