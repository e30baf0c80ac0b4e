// Gathers what a start or an exec must know (accounts, files, namespaces of other containers, the
// kernel) and has the pure planners make a plan of it.

import { GantryError } from "../../base/index.ts";
import type { Plan } from "../../native/index.ts";
import {
  type CreateInput,
  type ForeignRuntime,
  fullMask,
  type KernelFeatures,
  type NetworkShare,
  type PlannedCreate,
} from "../../runtime/index.ts";
import type { OciSpec, RootfsMount } from "../../spec/index.ts";
import { type Restoring, restoreShare } from "../checkpoints/index.ts";
import type { EngineContext } from "../context.ts";
import { applyDeviceEdits, type DeviceEdits, requestedDevices } from "../devices/index.ts";
import { monitorLog } from "../logs/index.ts";
import type { ContainerPaths } from "../paths.ts";
import { foreignRuntime, writeBundle } from "../runtimes/foreign.ts";
import { requireMapped } from "../userns/index.ts";
import { type Accounts, readAccounts } from "./accounts.ts";
import { writeContainerFiles } from "./container-files.ts";
import { hookBundle, writeHookBundle } from "./hooks.ts";
import { containerOf } from "./host-config.ts";
import { linkVariables } from "./link-variables.ts";
import type { ExecInstance } from "./live.ts";
import { type PreparedMount, prepareMounts } from "./mount-sources.ts";
import type { AttachedNetworks } from "./networking.ts";
import { execSeccomp, OCI_VERSION, toExecProcess, toOciSpec } from "./oci-spec.ts";
import type { ContainerRecord } from "./record.ts";
import { securityDefaults } from "./security-options.ts";
import { initPathFor, labelFiles, labelInit } from "./selinux-labels.ts";
import { hostUid, mappedRoot } from "./user-namespace.ts";

export async function prepareLaunch(
  engine: EngineContext,
  c: ContainerRecord,
  attached: AttachedNetworks,
  { holdMs, restoring }: { holdMs: number; restoring?: Restoring },
): Promise<PlannedCreate & { spec: OciSpec }> {
  const joined = joinedNamespaces(engine, c);
  const files = writeContainerFiles(engine, c, attached.records);
  const accounts = await readAccounts(engine, c);
  await labelFiles(engine, c, files);
  await labelInit(engine, c);
  const rootfs = mappedRoot(c, await engine.storage.snapshots.renew(c.id));
  const mounts = await prepareMounts(engine, c, accounts);
  const devices = await requestedDevices(engine, c.hostConfig);
  const given = { joined, files, accounts, rootfs, mounts, devices, attached, holdMs };
  const foreign = restoring ? undefined : foreignRuntime(engine, c);
  const more = { ...(restoring && { restoring }), ...(foreign && { foreign }) };
  const { spec, planned } = planLaunch(engine, c, { ...given, ...more });
  await engine.apparmor.require(spec.process?.apparmorProfile);
  const bundle = foreign ? undefined : hookBundle(spec, engine, c);
  if (foreign) await writeBundle(foreign, spec, c.id);
  if (bundle !== undefined) await writeHookBundle(bundle, spec);
  return { ...planned, spec };
}

/** What the host was asked for a start. */
export interface LaunchFacts {
  joined: JoinedNamespaces;
  files: Pick<ContainerPaths, "hostname" | "hosts" | "resolvConf">;
  accounts: Accounts;
  rootfs: RootfsMount;
  mounts: readonly PreparedMount[];
  /** What its device requests (CDI) change. */
  devices?: readonly DeviceEdits[];
  attached: AttachedNetworks;
  holdMs: number;
  /** The runtime that makes it, where that is not ours. */
  foreign?: ForeignRuntime;
  /** Its processes come from a checkpoint. */
  restoring?: Restoring;
}

/** From what is known to the plan, without asking or changing anything: also what `explain` tells
 * of is made here. */
export function planLaunch(
  engine: EngineContext,
  c: ContainerRecord,
  {
    joined,
    files: written,
    accounts,
    rootfs,
    mounts,
    devices = [],
    attached,
    ...given
  }: LaunchFacts,
): { spec: OciSpec; planned: PlannedCreate } {
  const kernel = kernelOf(engine, c);
  const files = c.isBuildStep ? { ...written, hostname: "", readOnly: true } : written;
  const plain = toOciSpec({
    id: c.id,
    config: withLinks(c, linkVariables(engine, c)),
    hostConfig: { ...c.hostConfig, Init: c.hostConfig.Init ?? engine.options.defaults.init },
    args: [c.path, ...c.args],
    mounts,
    files,
    accounts,
    joined,
    kernel,
    ...(c.userns && { userns: c.userns }),
    cgroupPath: cgroupPathOf(engine, c),
    defaultUlimits: engine.options.defaults.ulimits,
    initPath: initPathFor(engine, c),
    defaultSecurity: securityDefaults(engine),
    labels: c.selinux,
  });
  const spec = applyDeviceEdits(plain, devices);
  if (c.userns) requireMapped(c.userns, spec.process!.user);
  const paths = engine.paths.container(c.id);
  const log = monitorLog(c, paths.dir);
  const bundle = given.foreign ? undefined : hookBundle(spec, engine, c);
  const input: CreateInput = {
    id: c.id,
    ...(bundle !== undefined && { bundle }),
    spec,
    rootfs,
    kernel,
    ...(c.userns && { ownDevices: true }),
    ...(given.foreign && { foreign: given.foreign }),
    ...(attached.attachments.length > 0 && { network: shareOf(attached) }),
    monitor: {
      id: c.id,
      socketPath: paths.socket,
      exitPath: paths.exit,
      ...(log && { log }),
      terminal: c.config.Tty === true,
      stdinOnce: c.config.StdinOnce === true,
      openStdin: c.config.OpenStdin === true,
      holdMs: given.holdMs,
    },
  };
  const planned = given.restoring
    ? engine.runtime.planRestore({ ...input, ...restoreShare(spec, given.restoring) })
    : engine.runtime.planCreate(input);
  return { spec, planned };
}

/** The first process of a user namespace has all capabilities in it, whatever we have. */
function kernelOf({ runtime: { kernel } }: EngineContext, c: ContainerRecord): KernelFeatures {
  return c.userns ? { ...kernel, heldCapabilities: fullMask(kernel.lastCapability) } : kernel;
}

/** Its own variables win over those that tell of the containers that it is linked to. */
const withLinks = ({ config }: ContainerRecord, variables: readonly string[]) =>
  variables.length > 0 ? { ...config, Env: [...variables, ...(config.Env ?? [])] } : config;

function shareOf({ attachments }: AttachedNetworks): NetworkShare {
  return {
    host: (slots) => attachments.flatMap((attachment) => attachment.host(slots)),
    teardown: () => attachments.flatMap((attachment) => attachment.teardown()),
  };
}

const cgroupPathOf = ({ runtime, options }: EngineContext, { id, hostConfig }: ContainerRecord) =>
  runtime.cgroups.pathFor(id, hostConfig.CgroupParent || options.cgroupParent);

export interface JoinedNamespaces {
  network?: number;
  pid?: number;
  ipc?: number;
  user?: number;
}

/** The pids whose namespaces are joined, by "container:REF" modes. */
export function joinedNamespaces(engine: EngineContext, c: ContainerRecord): JoinedNamespaces {
  const { NetworkMode, PidMode, IpcMode } = c.hostConfig;
  const network = pidOf(engine, NetworkMode, "network");
  const pid = pidOf(engine, PidMode, "PID namespace");
  const ipc = pidOf(engine, IpcMode, "IPC namespace");
  const { joins } = c.userns ?? {};
  const user = joins && pidOf(engine, `container:${joins}`, "user namespace");
  return {
    ...(network !== undefined && { network }),
    ...(pid !== undefined && { pid }),
    ...(ipc !== undefined && { ipc }),
    ...(user && { user }),
  };
}

function pidOf(engine: EngineContext, mode: string | undefined, what: string): number | undefined {
  const ref = containerOf(mode);
  if (ref === undefined) return undefined;
  const other = engine.containers.find(ref);
  if (!other.run) {
    throw new GantryError(
      "conflict",
      `cannot join ${what} of a non running container: ${other.id}`,
    );
  }
  if (what.startsWith("IPC") && !isShareable(other.hostConfig.IpcMode)) {
    throw new GantryError(
      "invalid",
      `cannot join IPC namespace of container ${other.id}: non-shareable IPC ` +
        "(hint: use IpcMode:shareable for the donor container)",
    );
  }
  return other.run.pid;
}

const isShareable = (mode: string | undefined): boolean =>
  mode === "shareable" || mode === "host" || containerOf(mode) !== undefined;

export async function prepareExec(
  engine: EngineContext,
  c: ContainerRecord,
  exec: ExecInstance,
  consoleSize: [number, number] | undefined,
): Promise<Plan> {
  const accounts = await readAccounts(engine, c);
  const process = toExecProcess({
    exec: exec.config,
    config: withLinks(c, linkVariables(engine, c)),
    hostConfig: c.hostConfig,
    accounts,
    kernel: kernelOf(engine, c),
    defaultUlimits: engine.options.defaults.ulimits,
    defaultSecurity: securityDefaults(engine),
    labels: c.selinux,
    ...(consoleSize && { consoleSize }),
  });
  await engine.apparmor.require(process.apparmorProfile);
  if (c.userns) requireMapped(c.userns, process.user);
  const seccomp = execSeccomp(c.hostConfig, kernelOf(engine, c), securityDefaults(engine));
  return engine.runtime.planExec({
    execId: exec.id,
    pid: c.run?.pid ?? 0,
    process,
    kernel: engine.runtime.kernel,
    cgroupPaths: c.run?.cgroupPaths ?? {},
    terminal: exec.config.Tty === true,
    openStdin: exec.config.AttachStdin === true,
    ...(c.userns && { userNamespace: true, hostUid: hostUid(c.userns, process.user.uid) }),
    ...(seccomp && { seccomp }),
    state: {
      ociVersion: OCI_VERSION,
      id: c.id,
      status: "running",
      pid: c.run?.pid ?? 0,
      bundle: "",
    },
  });
}
