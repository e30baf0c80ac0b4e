// The questions of docker-bench-security's section 5 (container runtime) that can be asked of one
// container, from its `inspect`. "pass" or "warn", as the tool would say; what it only counts or
// what is the user's own (images, ports, health checks) is left out.

import type Docker from "dockerode";

type Inspected = Docker.ContainerInspectInfo;

const SENSITIVE = ["/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"];
const CHECKS: readonly [string, (c: Inspected) => boolean][] = [
  ["5.1 an AppArmor profile", (c) => !["", "unconfined"].includes(profile(c))],
  ["5.2 SELinux is not disabled", (c) => !options(c).some((o) => /^label[:=]disable/.test(o))],
  ["5.3 no capabilities are added", (c) => (c.HostConfig.CapAdd ?? []).length === 0],
  ["5.4 not privileged", (c) => c.HostConfig.Privileged !== true],
  ["5.5 no sensitive folder of the host", (c) => !sources(c).some((s) => SENSITIVE.includes(s))],
  ["5.9 not in the host's network", (c) => c.HostConfig.NetworkMode !== "host"],
  ["5.12 read-only root", (c) => c.HostConfig.ReadonlyRootfs === true],
  ["5.15 not in the host's pid namespace", (c) => c.HostConfig.PidMode !== "host"],
  ["5.16 not in the host's ipc namespace", (c) => c.HostConfig.IpcMode !== "host"],
  ["5.17 no devices of the host", (c) => (c.HostConfig.Devices ?? []).length === 0],
  ["5.19 no shared mount propagation", (c) => !c.Mounts.some((m) => /shared/.test(m.Propagation))],
  ["5.20 not in the host's uts namespace", (c) => c.HostConfig.UTSMode !== "host"],
  ["5.21 seccomp is not disabled", (c) => !options(c).includes("seccomp=unconfined")],
  ["5.25 no new privileges", (c) => options(c).some((o) => o.startsWith("no-new-privileges"))],
  ["5.30 not in the host's user namespace by request", (c) => c.HostConfig.UsernsMode !== "host"],
  ["5.31 docker.sock is not mounted", (c) => !sources(c).some((s) => s.endsWith("docker.sock"))],
];

const profile = (c: Inspected & { AppArmorProfile?: string }) => c.AppArmorProfile ?? "";
const options = ({ HostConfig }: Inspected): string[] => HostConfig.SecurityOpt ?? [];
const sources = ({ Mounts }: Inspected): string[] => Mounts.map(({ Source }) => Source);

export function benchRows(container: Inspected): Record<string, string> {
  return Object.fromEntries(
    CHECKS.map(([name, passes]) => [name, passes(container) ? "pass" : "warn"]),
  );
}
