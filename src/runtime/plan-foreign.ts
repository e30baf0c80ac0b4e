// A container that another OCI runtime makes (`--runtime`). Our monitor stays its parent: the new
// process of the plan gets the streams, a mount namespace in which the root is mounted at the
// bundle's rootfs, and a network namespace where the container is to have one of its own; then it
// becomes `RUNTIME run`, which makes the rest from the bundle's config.json, passes signals on, and
// ends with the container's exit code. Cgroups are at the places where ours would be. Pure.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciMount } from "../spec/index.ts";
import { cgroupPathFor, cgroupPathsOf, cgroupPlaces } from "./cgroup/places.ts";
import { oomPath, planCgroupKill, planCgroupParents } from "./cgroup/plan-cgroup.ts";
import type { CreateInput, ForeignRuntime, PlannedCreate } from "./contract.ts";
import { CLONE, MS, O } from "./kernel-numbers.ts";
import { loopbackUp } from "./loopback.ts";
import { openBindSource } from "./plan-bind-source.ts";
import { PlanBuilder, POINT, SLOT } from "./plan-builder.ts";
import { planDevNull } from "./plan-devices.ts";
import { planRootfs } from "./plan-rootfs.ts";
import { planExecStreams, planPipes, planTerminal } from "./plan-streams.ts";
import { planSysctls } from "./sysctls.ts";

const RMDIR_RETRY_MS = 5000;
const ENVIRONMENT = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  // For gantry-runtime: no process stays warm in a mount namespace that nobody else will be in.
  "GANTRY_PLAIN=1",
];

export function planForeign(input: CreateInput, foreign: ForeignRuntime): PlannedCreate {
  const { kernel, id, spec, network, monitor } = input;
  const builder = new PlanBuilder();
  const { host, container, teardown } = builder;
  const all = cgroupPlaces(kernel.cgroup, spec.linux?.cgroupsPath ?? cgroupPathFor(id));
  // A hybrid host's unified hierarchy is not for every runtime: v1 tells which processes are there.
  const v1 = all.filter(({ version }) => version === 1);
  const places = v1.length > 0 ? v1 : all;
  teardown.push(...planCgroupKill(cgroupPathsOf(places)));
  if (network) teardown.push(...network.teardown());
  host.push(...planCgroupParents(all));
  for (const { path } of all) {
    host.push({ op: "mkdir", path, mode: 0o755, existOk: true });
    teardown.push({ op: "removeCgroup", path, retryMs: RMDIR_RETRY_MS });
  }
  host.push(...planDevNull());
  if (!monitor.terminal) host.push(...planPipes(monitor.openStdin, spec.process?.user.uid ?? 0));
  const attach = planRootfs(builder, input.rootfs, kernel);
  if (attach.length !== 1) {
    throw new GantryError("not-implemented", "other runtimes need overlay's lowerdir+ (Linux 6.5)");
  }
  const attachMounts = planForeignMounts(builder, input, foreign);
  const ownNetwork = hasOwnNetwork(input);
  const flags = CLONE.NEWNS | (ownNetwork ? CLONE.NEWNET : 0);
  host.push({ op: "clone", flags, pid: SLOT.pid, pidfd: SLOT.pidfd });
  if (network) {
    host.push(
      { op: "openProc", pid: SLOT.pid, file: "ns/net", flags: O.RDONLY, to: SLOT.netns },
      ...network.host({ pid: SLOT.pid, netns: SLOT.netns }),
      { op: "signalPeer", point: POINT.networked },
    );
  }
  container.push(
    { op: "setsid" },
    { op: "propagation", path: "/", flags: MS.SLAVE | MS.REC },
    { op: "moveMount", slot: SLOT.rootfs, path: `${foreign.bundle}/rootfs` },
    ...attachMounts,
    ...(ownNetwork ? [loopbackUp()] : []),
    ...(network ? [{ op: "awaitPeer", point: POINT.networked } as const] : []),
    ...(ownNetwork ? planSysctls(networkSysctls(input), OWN_NETWORK) : []),
    ...streams(input),
    { op: "closeFrom", fd: 3 },
    { op: "chdir", path: foreign.bundle },
    { op: "execve", argv: commandLine(id, foreign), env: ENVIRONMENT },
  );
  return {
    plan: { host, container, teardown },
    monitor: { ...monitor, oomPath: oomPath(places) },
    results: {},
    cgroupPaths: cgroupPathsOf(places),
  };
}

/** Whether a mount is none that another runtime could make: of an
 * image, of a part of a folder, of another mount namespace. */
export const isPrepared = ({ layers, subpath, source }: OciMount): boolean =>
  layers !== undefined || Boolean(subpath) || /^\/proc\/\d+\/root\//.test(source ?? "");

/** Where the runtime finds the source of the mount with this index; without one, their folder. */
export const foreignSource = (bundle: string, index?: number): string =>
  index === undefined ? `${bundle}/mounts` : `${bundle}/mounts/${index}`;

/** They are attached in the bundle, in the runtime's own mount namespace, before it starts. */
function planForeignMounts(
  builder: PlanBuilder,
  { spec, kernel }: CreateInput,
  { bundle }: ForeignRuntime,
): Operation[] {
  return (spec.mounts ?? []).flatMap((mount, index): Operation[] => {
    if (!isPrepared(mount)) return [];
    const slot = builder.allocate(`the mount at ${mount.destination}`);
    const recursive = mount.options?.includes("rbind") ?? false;
    builder.host.push(...openBindSource(builder, mount, { recursive, to: slot, kernel }));
    return [
      { op: "moveMount", slot, path: foreignSource(bundle, index), make: "same" },
      { op: "close", slot },
    ];
  });
}

const OWN_NETWORK = { ipc: false, net: true, uts: false, user: false };

function hasOwnNetwork({ spec }: CreateInput): boolean {
  const network = spec.linux?.namespaces?.find(({ type }) => type === "network");
  return network !== undefined && !network.path;
}

function networkSysctls({ spec }: CreateInput): Record<string, string> {
  const all = Object.entries(spec.linux?.sysctl ?? {});
  return Object.fromEntries(all.filter(([name]) => /^net[./]/.test(name)));
}

function streams({ spec, monitor }: CreateInput): Operation[] {
  if (monitor.terminal) return planTerminal(spec.process!, { console: false });
  return planExecStreams(monitor.openStdin ? SLOT.stdinRead : SLOT.devNull);
}

function commandLine(id: string, foreign: ForeignRuntime): string[] {
  const { path, args, bundle, root = `${bundle}/state`, runArgs = [] } = foreign;
  return [
    ...[path, ...args, "--root", root],
    ...["--log", `${bundle}/log.json`, "--log-format", "json"],
    ...["run", ...runArgs, "--bundle", bundle, "--pid-file", `${bundle}/pid`, id],
  ];
}
