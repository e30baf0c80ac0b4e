// An OCI runtime configuration becomes a plan. The story of the host half: cgroups with their
// limits; everything opened or made detached that needs the host's view; clone; id maps, cgroup,
// network. Of the container half: private mounts, the root and what is mounted in it, devices,
// masks, the new root, and at last the loss of privilege and execve. Pure.

import { dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciMount, OciSpec } from "../spec/index.ts";
import { type CgroupPlace, cgroupPathFor, cgroupPathsOf, cgroupPlaces } from "./cgroup/places.ts";
import {
  type CgroupShare,
  oomPath,
  planCgroupClaim,
  planCgroupCreate,
  planCgroupKill,
} from "./cgroup/plan-cgroup.ts";
import { planCgroupOwner } from "./cgroup/plan-owner.ts";
import type { CreateInput, PlannedCreate } from "./contract.ts";
import { hostIdOf, idMapText } from "./id-maps.ts";
import { CLONE, O } from "./kernel-numbers.ts";
import { loopbackUp } from "./loopback.ts";
import { type Namespaces, namespacesOf } from "./namespaces.ts";
import { canSetOomScore } from "./oom-score.ts";
import { PlanBuilder, POINT, SLOT } from "./plan-builder.ts";
import { planCredentials, planLabels, planLimits, planTask } from "./plan-credentials.ts";
import { allDevices, planDeviceSources, planDevNull } from "./plan-devices.ts";
import type { Draft } from "./plan-draft.ts";
import { bringsDev, planDev, planFinalRoot, planPaths, planRoot } from "./plan-final-root.ts";
import { planForeign } from "./plan-foreign.ts";
import {
  checkHooks,
  creationDeadlineMs,
  hasHooks,
  planContainerHooks,
  planHostHooks,
  planPoststop,
  planStart,
} from "./plan-hooks.ts";
import { bornInside, openJoined, planJoins, planTime } from "./plan-joins.ts";
import { isBind, type MountContext, planBindSource, planMount } from "./plan-mounts.ts";
import { planNetDevices } from "./plan-net-devices.ts";
import { planRdt } from "./plan-rdt.ts";
import { planRootfs } from "./plan-rootfs.ts";
import { planPipes } from "./plan-streams.ts";
import { planMappedDev } from "./plan-userns.ts";
import { planSeccompAgent } from "./seccomp/agent.ts";
import { compileSeccomp } from "./seccomp/compile.ts";
import { planSysctls } from "./sysctls.ts";

/** Throws invalid when the configuration asks for what is impossible, never a silent skip. */
export function planCreate(input: CreateInput): PlannedCreate {
  const { spec, kernel, id } = input;
  const { process } = spec;
  if (!process?.args?.length) {
    throw new GantryError("invalid", "process.args must not be empty");
  }
  if (!process.cwd.startsWith("/")) {
    throw new GantryError("invalid", "Cwd must be an absolute path");
  }
  if (input.foreign) return planForeign(input, input.foreign);
  const path = spec.linux?.cgroupsPath ?? cgroupPathFor(id);
  const draft: Draft = {
    input,
    spec,
    kernel,
    builder: new PlanBuilder(),
    namespaces: namespacesOf(spec.linux),
    places: cgroupPlaces(kernel.cgroup, path),
    binds: new Map(),
    late: [],
    joinedUser: undefined,
    devices: undefined,
    made: new Set(),
    attachRoot: [],
    results: {},
    startSlot: undefined,
    rdt: spec.linux?.intelRdt && planRdt(spec.linux.intelRdt, id, input.rdt),
  };
  refuseUnsupported(input);
  checkHooks(spec.hooks);
  planHost(draft);
  planContainer(draft);
  if (!input.standalone) draft.builder.teardown.push(...planPoststop(input));
  return {
    plan: draft.builder.plan(creationDeadlineMs(spec.hooks)),
    monitor: { ...input.monitor, oomPath: oomPath(draft.places) },
    results: draft.results,
    cgroupPaths: cgroupPathsOf(draft.places),
    ...(draft.rdt && { rdt: draft.rdt.place }),
  };
}

function refuseUnsupported(input: CreateInput): void {
  const { spec, netDevices } = input;
  const { linux } = spec;
  const refuse = (what: string) =>
    new GantryError("not-implemented", `${what} of the OCI configuration is not supported yet`);
  if (linux?.mountLabel && !input.kernel.selinux) {
    throw new GantryError("invalid", "linux.mountLabel: selinux is not enabled on this host");
  }
  if (Object.keys(linux?.netDevices ?? {}).length > 0 && !netDevices) {
    throw refuse("linux.netDevices");
  }
}

function planHost(draft: Draft): void {
  const { builder, spec, kernel, places, input } = draft;
  const { host, teardown } = builder;
  // What systemd has made is its maker's from the beginning.
  const claimed = input.preparedParents ? [] : places;
  if (input.standalone) host.push(...planCgroupClaim(claimed, input.standalone.claimFile));
  teardown.push(...planCgroupKill(cgroupPathsOf(places)));
  if (draft.rdt) {
    host.push(...draft.rdt.make);
    teardown.push(...draft.rdt.teardown);
  }
  if (input.network) teardown.push(...input.network.teardown());
  const prepared = input.preparedParents?.has(parentOf(places)) ?? false;
  const resources = spec.linux?.resources ?? {};
  // Binds take whatever slots are left; what is joined cannot do without.
  const toJoin = draft.namespaces.joined.map((one) => ({
    ...one,
    slot: builder.allocate(`the ${one.type} namespace`),
  }));
  draft.joinedUser = toJoin.find(({ type }) => type === "user")?.slot;
  // A limited root needs devices that the container's cgroup will forbid.
  const early = input.rootfs.kind === "overlay" && input.rootfs.disk !== undefined;
  if (early)
    draft.attachRoot = planRootfs(builder, input.rootfs, kernel, spec.linux?.rootfsPropagation);
  const share = planCgroupCreate(builder, places, resources, {
    prepared,
    outside: hasHooks(spec.hooks, "prestart", "createRuntime"),
  });
  host.push(...planCgroupOwner(places, spec, hostUser(spec)));
  host.push(...planDevNull());
  if (input.standalone) {
    const slot = builder.allocate("the start of the container");
    draft.startSlot = slot;
    host.push({ op: "listen", path: input.standalone.startSocket, to: slot });
    if (!input.monitor.terminal) host.push({ op: "ownStreams", uid: hostUser(spec) });
  } else if (!input.monitor.terminal) {
    host.push(...planPipes(input.monitor.openStdin, hostUser(spec)));
  }
  if (!early)
    draft.attachRoot = planRootfs(builder, input.rootfs, kernel, spec.linux?.rootfsPropagation);
  host.push(...openJoined(toJoin));
  if (draft.namespaces.has("user")) {
    planUserDevices(draft);
  }
  for (const mount of spec.mounts ?? []) {
    if (isBind(mount)) draft.binds.set(mount, planBindSource(builder, mount, draft));
  }
  const joins = draft.joinedUser === undefined ? planJoins(host, toJoin) : bornInside(toJoin);
  host.push(...planTime(draft.namespaces, spec.linux));
  host.push({
    op: "clone",
    flags: draft.namespaces.cloneFlags & ~(makesQueues(draft.namespaces) ? CLONE.NEWIPC : 0),
    pid: SLOT.pid,
    pidfd: SLOT.pidfd,
    ...(share.cgroup === undefined ? {} : { cgroup: share.cgroup }),
    ...(joins.inside && { join: joins.inside }),
  });
  planAfterClone(draft, share, toJoin.find(({ type }) => type === "network")?.slot);
  builder.container.push(...joins.container);
}

/** Message queues belong to whoever makes their namespace: that is to be the container's root. */
const makesQueues = (namespaces: Namespaces): boolean =>
  namespaces.has("user") && namespaces.isNew("ipc");

/** The user of the process, in the host's numbers: who owns its pipes. */
function hostUser(spec: OciSpec): number {
  const uid = spec.process?.user.uid ?? 0;
  return hostIdOf(spec.linux?.uidMappings ?? [], uid) ?? uid;
}

/** The nodes of a container that may not make any. */
function planUserDevices(draft: Draft): void {
  const { builder, spec, input } = draft;
  const { uidMappings: uid = [], gidMappings: gid = [], mountLabel } = spec.linux ?? {};
  // Whoever brings a /dev has what is in it.
  if (bringsDev(spec)) return;
  const devices = allDevices(spec.linux?.devices);
  const own = input.ownDevices
    ? planMappedDev(builder, spec.mounts ?? [], { devices, maps: { uid, gid }, mountLabel })
    : undefined;
  if (own) draft.binds.set(own.mount, { slot: own.slot });
  draft.made = own?.made ?? new Set();
  const bound = devices.filter(({ path }) => !draft.made.has(path));
  draft.devices = planDeviceSources(builder, bound);
}

/** The folder of all containers beside this one, relative to the hierarchies. */
function parentOf([first]: readonly CgroupPlace[]): string {
  return first === undefined ? "" : dirname(first.path.slice(first.mount.length));
}

function planAfterClone(
  draft: Draft,
  { limits }: CgroupShare,
  joinedNetwork: number | undefined,
): void {
  const { builder, spec, input, kernel, namespaces } = draft;
  const { host } = builder;
  const encode = (value: string) => new TextEncoder().encode(value);
  if (namespaces.isNew("user")) {
    const { uidMappings, gidMappings } = spec.linux ?? {};
    const map = (file: string, text: string): Operation => ({
      op: "writeProc",
      pid: SLOT.pid,
      file,
      data: encode(text),
    });
    host.push(map("uid_map", idMapText(uidMappings)), map("gid_map", idMapText(gidMappings)));
  }
  host.push(...limits, ...(draft.rdt?.enter ?? []));
  const score = spec.process?.oomScoreAdj;
  if (
    score !== undefined &&
    canSetOomScore(kernel, score, { explicit: input.standalone !== undefined })
  ) {
    const data = encode(String(score));
    host.push({ op: "writeProc", pid: SLOT.pid, file: "oom_score_adj", data });
  }
  host.push({ op: "signalPeer", point: POINT.attached });
  host.push(...draft.late);
  if (input.network || input.netDevices) {
    const to = SLOT.netns;
    const netns = input.network ? to : (joinedNetwork ?? to);
    if (netns === to) {
      host.push({ op: "openProc", pid: SLOT.pid, file: "ns/net", flags: O.RDONLY, to });
    }
    host.push(
      ...(input.network?.host({ pid: SLOT.pid, netns }) ?? []),
      ...planNetDevices(input.netDevices ?? [], { netns, namespaces }),
      { op: "signalPeer", point: POINT.networked },
    );
  }
  planHostHooks(builder, input);
  // Of a container that waits to be started, whoever starts it speaks with the agent.
  if (!input.standalone) {
    const { ociVersion, annotations } = spec;
    const { id, bundle = "" } = input;
    const state = { ociVersion, id, status: "creating" as const, bundle };
    host.push(
      ...planSeccompAgent(spec.linux?.seccomp, {
        state: { ...state, ...(annotations && { annotations }) },
      }),
    );
  }
}

function planContainer(draft: Draft): void {
  const { builder, spec, input, kernel, namespaces } = draft;
  const { container } = builder;
  const process = spec.process!;
  const userNamespace = namespaces.has("user");
  let attached = false;
  const awaitAttached = () => {
    if (!attached) container.push({ op: "awaitPeer", point: POINT.attached });
    if (!attached && namespaces.isNew("cgroup")) {
      container.push({ op: "unshare", flags: CLONE.NEWCGROUP });
    }
    attached = true;
  };
  if (userNamespace) {
    // Without its maps the process is nobody; with them, root of the namespace.
    awaitAttached();
    container.push({ op: "setgid", gid: 0 }, { op: "setuid", uid: 0 });
    if (makesQueues(namespaces)) container.push({ op: "unshare", flags: CLONE.NEWIPC });
  }
  container.push({ op: "setsid" });
  planRoot(draft);
  const context: MountContext = {
    builder,
    places: draft.places,
    cgroupNamespace: namespaces.has("cgroup"),
    awaitAttached,
    ...(spec.linux?.mountLabel && { mountLabel: spec.linux.mountLabel }),
  };
  // What is sent over a socket arrives in the order of the spec, after the barrier.
  if (draft.late.length > 0) awaitAttached();
  // Entering a cgroup can take the kernel 10 ms: all that needs no cgroup is done meanwhile.
  const mounts = cgroupLast(spec.mounts ?? []);
  for (const mount of mounts.early) planMount(context, mount, draft.binds.get(mount));
  planDev(draft);
  planPaths(draft);
  if (namespaces.isNew("network")) container.push(loopbackUp());
  container.push(...planNames(spec, namespaces));
  container.push(...planLabels(process, kernel));
  awaitAttached();
  for (const mount of mounts.late) planMount(context, mount, undefined);
  if (input.network || input.netDevices) {
    container.push({ op: "awaitPeer", point: POINT.networked });
  }
  planContainerHooks(builder, input);
  // An interface that a sysctl names may have come with a hook (dockerd's).
  container.push(...planSysctls(spec.linux?.sysctl, ownNamespaces(namespaces)));
  planFinalRoot(draft);
  container.push(...planTask(spec.linux), ...planLimits(process));
  container.push(
    ...planCredentials({
      process,
      kernel,
      userNamespace,
      ...(input.standalone?.keepKeyring ? {} : { id: input.id }),
      ...(input.standalone && { preserveFds: input.standalone.preserveFds }),
      pause: planStart(input, draft.startSlot),
      ...compileSeccomp(spec.linux?.seccomp, kernel),
    }),
  );
}

/** Throws invalid where they would be the host's. */
function planNames({ hostname, domainname }: OciSpec, namespaces: Namespaces): Operation[] {
  const refuse = (what: string) =>
    new GantryError("invalid", `unable to set ${what} without a private UTS namespace`);
  if (!namespaces.has("uts")) {
    if (hostname) throw refuse("hostname");
    if (domainname) throw refuse("domainname");
  }
  return [
    ...(hostname ? [{ op: "hostname", name: hostname } as const] : []),
    ...(domainname ? [{ op: "domainname", name: domainname } as const] : []),
  ];
}

/** The cgroup mount can wait where nothing else is mounted in it. */
function cgroupLast(mounts: readonly OciMount[]): { early: OciMount[]; late: OciMount[] } {
  const waits = (mount: OciMount) =>
    mount.type === "cgroup" &&
    !mounts.some(({ destination }) => destination.startsWith(`${mount.destination}/`));
  return { early: mounts.filter((m) => !waits(m)), late: mounts.filter(waits) };
}

function ownNamespaces(namespaces: Namespaces) {
  return {
    ipc: namespaces.has("ipc"),
    net: namespaces.has("network"),
    uts: namespaces.has("uts"),
    user: namespaces.has("user"),
  };
}
