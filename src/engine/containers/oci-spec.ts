// A container's record becomes its OCI runtime configuration, with exactly Docker's defaults. All
// that must be known comes in; the only look at the host is for device nodes (host-devices.ts).

import { GantryError } from "../../base/index.ts";
import { defaultSeccomp, type KernelFeatures, parseSeccomp } from "../../runtime/index.ts";
import type {
  ContainerConfig,
  ExecConfig,
  HostConfig,
  IdMaps,
  OciDevice,
  OciDeviceRule,
  OciLinux,
  OciProcess,
  OciSeccomp,
  OciSpec,
} from "../../spec/index.ts";
import type { SecurityDefaults } from "../context.ts";
import type { LabelRecord } from "../selinux/index.ts";
import { containerEnv } from "./container-env.ts";
import { allHostDevices, mappedDevices } from "./host-devices.ts";
import type { PreparedMount } from "./mount-sources.ts";
import { capabilitiesFor, processCapabilities } from "./oci-capabilities.ts";
import { type MountInput, toOciMounts } from "./oci-mounts.ts";
import { parseDeviceRule, resourcesOf } from "./oci-resources.ts";
import { resolveGroups, resolveUser } from "./resolve-user.ts";
import { apparmorProfile, parseSecurityOptions, type SecurityOptions } from "./security-options.ts";

export { resourcesOf } from "./oci-resources.ts";

export interface SpecInput {
  id: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** Entrypoint and command. */
  args: string[];
  mounts: readonly PreparedMount[];
  files: MountInput["files"];
  /** /etc/passwd and /etc/group of the container. */
  accounts: { passwd: string; group: string };
  /** Pids whose namespaces are joined. */
  joined: { network?: number; pid?: number; ipc?: number; user?: number };
  /** Its user namespace; absent: the host's. */
  userns?: IdMaps;
  kernel: KernelFeatures;
  /** Of its cgroup, from the root of each hierarchy. */
  cgroupPath: string;
  /** Daemon-wide ulimits, which the container's own override by name. */
  defaultUlimits?: { Name: string; Soft: number; Hard: number }[];
  /** Program that --init puts before the command, a file of the host. */
  initPath?: string;
  defaultSecurity?: SecurityDefaults | undefined;
  /** Its SELinux labels. */
  labels?: LabelRecord | undefined;
}

export const OCI_VERSION = "1.2.1";
const INIT_TARGET = "/sbin/docker-init";

/** Throws invalid with docker's wording. */
export function toOciSpec(input: SpecInput): OciSpec {
  const { hostConfig: host, config, kernel } = input;
  const security = parseSecurityOptions(host.SecurityOpt ?? [], input.defaultSecurity);
  const capabilities = capabilitiesFor(host, kernel.heldCapabilities);
  const seccomp = seccompFor(host, security, capabilities, kernel);
  const withInit = host.Init === true && input.initPath !== undefined;
  const mounts = toOciMounts({
    host,
    mounts: input.mounts,
    files: input.files,
    writableCgroups: security.writableCgroups,
    ...(input.userns && { userns: input.userns }),
    ...(input.joined.ipc !== undefined && { joinedIpc: input.joined.ipc }),
  });
  if (withInit) {
    mounts.push({
      destination: INIT_TARGET,
      type: "bind",
      source: input.initPath!,
      options: ["bind", "ro", "rprivate"],
    });
  }
  const ownUts = host.UTSMode !== "host";
  const args = withInit ? [INIT_TARGET, "--", ...input.args] : input.args;
  return {
    ociVersion: OCI_VERSION,
    process: { ...baseProcess(input, security, capabilities), args },
    root: { path: "rootfs", readonly: host.ReadonlyRootfs === true },
    ...(ownUts && config.Hostname && { hostname: config.Hostname }),
    ...(ownUts && config.Domainname && { domainname: config.Domainname }),
    mounts,
    ...(host.Annotations && { annotations: host.Annotations }),
    linux: {
      namespaces: namespacesFor(host, input),
      ...(input.userns && mappingsOf(input.userns)),
      cgroupsPath: input.cgroupPath,
      resources: { ...resourcesOf(host, kernel), devices: deviceRules(host) },
      devices: deviceNodes(host, input.userns),
      sysctl: sysctlsFor(host, input.userns),
      ...pathsFor(host, security, kernel),
      ...(seccomp && { seccomp }),
      ...(input.labels?.mount && { mountLabel: input.labels.mount }),
    },
  };
}

/** The process of `docker exec`: the container's own conditions, unless it says otherwise. */
export function toExecProcess(input: {
  exec: ExecConfig;
  config: ContainerConfig;
  hostConfig: HostConfig;
  accounts: { passwd: string; group: string };
  kernel: KernelFeatures;
  consoleSize?: [number, number];
  defaultUlimits?: { Name: string; Soft: number; Hard: number }[];
  defaultSecurity?: SecurityDefaults | undefined;
  labels?: LabelRecord | undefined;
}): OciProcess {
  const { exec, config, hostConfig, kernel } = input;
  const security = parseSecurityOptions(hostConfig.SecurityOpt ?? [], input.defaultSecurity);
  const privileged = exec.Privileged === true || hostConfig.Privileged === true;
  const host = { ...hostConfig, Privileged: privileged };
  const tty = exec.Tty === true;
  const process = baseProcess(
    {
      ...input,
      hostConfig: host,
      config: {
        ...config,
        Tty: tty,
        User: exec.User || config.User || "",
        WorkingDir: exec.WorkingDir || config.WorkingDir || "",
        Env: [...(config.Env ?? []), ...(exec.Env ?? [])],
      },
    },
    security,
    capabilitiesFor(host, kernel.heldCapabilities),
  );
  delete process.consoleSize;
  const size = input.consoleSize ?? exec.ConsoleSize;
  return {
    ...process,
    args: exec.Cmd,
    ...(tty && size && size[0] > 0 && { consoleSize: { height: size[0], width: size[1] } }),
  };
}

/** The filter that an exec gets: that of its container, also when the exec is privileged. */
export function execSeccomp(
  host: HostConfig,
  kernel: KernelFeatures,
  defaults?: SecurityDefaults,
): OciSeccomp | undefined {
  const capabilities = capabilitiesFor(host, kernel.heldCapabilities);
  const security = parseSecurityOptions(host.SecurityOpt ?? [], defaults);
  return seccompFor(host, security, capabilities, kernel);
}

type ProcessInput = Pick<
  SpecInput,
  "config" | "hostConfig" | "accounts" | "defaultUlimits" | "labels"
>;

function baseProcess(
  { config, hostConfig: host, accounts, defaultUlimits, labels }: ProcessInput,
  security: SecurityOptions,
  capabilities: string[],
): OciProcess {
  const user = resolveUser(config.User ?? "", accounts);
  const groups = resolveGroups(host.GroupAdd ?? [], accounts.group);
  const tty = config.Tty === true;
  const [height = 0, width = 0] = host.ConsoleSize ?? [];
  const apparmor = appliedProfile(host, security);
  return {
    terminal: tty,
    ...(tty && height > 0 && { consoleSize: { height, width } }),
    user: {
      uid: user.uid,
      gid: user.gid,
      additionalGids: [...new Set([...user.additionalGids, ...groups])],
    },
    env: containerEnv(config, user.home),
    cwd: config.WorkingDir || "/",
    capabilities: processCapabilities(capabilities, user.uid),
    rlimits: ulimits(host, defaultUlimits),
    noNewPrivileges: security.noNewPrivileges,
    oomScoreAdj: host.OomScoreAdj ?? 0,
    ...(apparmor && { apparmorProfile: apparmor }),
    ...(labels?.process && { selinuxLabel: labels.process }),
  };
}

/** The profile to enter. "unconfined" is said only where the daemon might be confined itself. */
function appliedProfile(host: HostConfig, security: SecurityOptions): string | undefined {
  const profile = apparmorProfile(host.Privileged === true, security);
  const isFree = profile === "unconfined" && security.apparmorDefault === undefined;
  return isFree ? undefined : profile;
}

function ulimits(
  host: HostConfig,
  defaults: SpecInput["defaultUlimits"] = [],
): NonNullable<OciProcess["rlimits"]> {
  const own = host.Ulimits ?? [];
  const names = new Set(own.map(({ Name }) => Name));
  return [...own, ...defaults.filter(({ Name }) => !names.has(Name))].map((limit) => ({
    type: `RLIMIT_${limit.Name.toUpperCase()}`,
    soft: limit.Soft,
    hard: limit.Hard,
  }));
}

function seccompFor(
  host: HostConfig,
  security: SecurityOptions,
  capabilities: readonly string[],
  kernel: KernelFeatures,
): OciSeccomp | undefined {
  if (host.Privileged || security.seccomp === "unconfined") return undefined;
  if (security.seccomp) return parseSeccomp(security.seccomp, capabilities, kernel);
  // A kernel without seccomp runs containers without the default filter, as Docker does.
  return kernel.seccompActions.length > 0 ? defaultSeccomp(capabilities, kernel) : undefined;
}

function namespacesFor(
  host: HostConfig,
  { joined, userns }: Pick<SpecInput, "joined" | "userns">,
): NonNullable<OciLinux["namespaces"]> {
  const namespaces: NonNullable<OciLinux["namespaces"]> = [{ type: "mount" }];
  const add = (type: string, file: string, mode: string | undefined, pid: number | undefined) => {
    if (mode === "host") return;
    namespaces.push(pid === undefined ? { type } : { type, path: `/proc/${pid}/ns/${file}` });
  };
  add("network", "net", host.NetworkMode, joined.network);
  add("uts", "uts", host.UTSMode, undefined);
  add("pid", "pid", host.PidMode, joined.pid);
  add("ipc", "ipc", host.IpcMode, joined.ipc);
  if (userns) add("user", "user", undefined, joined.user);
  if (host.CgroupnsMode === "private") namespaces.push({ type: "cgroup" });
  return namespaces;
}

const mappingsOf = ({ uid, gid }: IdMaps): Pick<OciLinux, "uidMappings" | "gidMappings"> => ({
  uidMappings: [...uid],
  gidMappings: [...gid],
});

/** Low ports and ping need no privilege in a network namespace of one's own (Docker 20.10). */
function sysctlsFor(host: HostConfig, userns: IdMaps | undefined): Record<string, string> {
  const sysctls: Record<string, string> = {};
  if (host.NetworkMode !== "host" && !host.NetworkMode?.startsWith("container:")) {
    sysctls["net.ipv4.ip_unprivileged_port_start"] = "0";
    sysctls["net.ipv4.ping_group_range"] = `0 ${lastGroup(userns)}`;
  }
  return { ...sysctls, ...host.Sysctls };
}

/** The kernel takes groups only that the namespace has. */
function lastGroup(userns: IdMaps | undefined): number {
  if (!userns) return 2 ** 31 - 1;
  const [first, ...rest] = userns.gid;
  let end = (first?.containerID ?? 0) + (first?.size ?? 1);
  for (const { containerID, size } of rest) if (containerID === end) end += size;
  return Math.min(end, 2 ** 31) - 1;
}

function pathsFor(
  host: HostConfig,
  security: SecurityOptions,
  kernel: KernelFeatures,
): Pick<OciLinux, "maskedPaths" | "readonlyPaths"> {
  if (security.systemPathsUnconfined) return {};
  const masked = host.MaskedPaths ?? [];
  // The per-CPU folders belong to the default list; they depend on the host.
  const isDefault = masked.includes("/proc/interrupts");
  const throttle = isDefault ? (kernel.thermalThrottlePaths ?? []) : [];
  return {
    ...(masked.length > 0 && { maskedPaths: [...masked, ...throttle] }),
    ...(host.ReadonlyPaths?.length && { readonlyPaths: host.ReadonlyPaths }),
  };
}

const EVERYTHING: OciDeviceRule = { allow: true, access: "rwm" };
const NOTHING: OciDeviceRule = { allow: false, access: "rwm" };
const rule = (allow: boolean, major: number, minor: number): OciDeviceRule => ({
  allow,
  type: "c",
  major,
  minor,
  access: "rwm",
});
/** zero, null, urandom, random, tty, console; never fuse. */
const STANDARD_RULES: readonly OciDeviceRule[] = [
  NOTHING,
  rule(true, 1, 5),
  rule(true, 1, 3),
  rule(true, 1, 9),
  rule(true, 1, 8),
  rule(true, 5, 0),
  rule(true, 5, 1),
  rule(false, 10, 229),
];

function deviceRules(host: HostConfig): OciDeviceRule[] {
  if (host.Privileged) return [EVERYTHING];
  const mapped = mappedDevices(host.Devices ?? []).rules;
  return [...STANDARD_RULES, ...mapped, ...(host.DeviceCgroupRules ?? []).map(parseDeviceRule)];
}

function deviceNodes(host: HostConfig, userns: IdMaps | undefined): OciDevice[] {
  const mapped = mappedDevices(host.Devices ?? []).nodes;
  // They are made with its /dev: in the container nobody may make any.
  const outside = userns && mapped.find(({ path }) => !/^\/dev\/(?!(.*\/)?\.\.(\/|$))/.test(path));
  if (outside) {
    throw new GantryError(
      "invalid",
      `devices of a container with a user namespace are beneath /dev: ${outside.path}`,
    );
  }
  if (!host.Privileged) return mapped;
  const named = new Set(mapped.map(({ path }) => path));
  return [...allHostDevices().filter(({ path }) => !named.has(path)), ...mapped];
}
