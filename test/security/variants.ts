// The containers in which the probe runs: Docker's default, and every way to loosen or tighten it
// that the two engines share. The requests are those of the Engine API, the same for both.

import type Docker from "dockerode";

export interface Variant {
  name: string;
  config?: Partial<Docker.ContainerCreateOptions>;
  host?: Docker.HostConfig;
  /** The probe runs by an exec in a container of this kind, not as its first process. */
  exec?: { privileged?: boolean; user?: string };
  /** Held against what Docker gives in another variant, because Docker has none like it. */
  against?: string;
}

export const VARIANTS: readonly Variant[] = [
  { name: "default" },
  { name: "--user 1000:1000", config: { User: "1000:1000" } },
  { name: "--tty", config: { Tty: true } },
  { name: "--read-only", host: { ReadonlyRootfs: true, Tmpfs: { "/tmp": "" } } },
  { name: "--init", host: { Init: true } },
  { name: "--cap-drop ALL", host: { CapDrop: ["ALL"] } },
  { name: "--cap-add SYS_ADMIN", host: { CapAdd: ["SYS_ADMIN"] } },
  {
    name: "--cap-add NET_ADMIN,SYS_PTRACE,SYSLOG,DAC_READ_SEARCH,SYS_TIME",
    host: { CapAdd: ["NET_ADMIN", "SYS_PTRACE", "SYSLOG", "DAC_READ_SEARCH", "SYS_TIME"] },
  },
  { name: "--cap-add ALL", host: { CapAdd: ["ALL"] } },
  {
    name: "--security-opt no-new-privileges",
    host: { SecurityOpt: ["no-new-privileges"] },
  },
  { name: "--security-opt seccomp=unconfined", host: { SecurityOpt: ["seccomp=unconfined"] } },
  {
    name: "--security-opt systempaths=unconfined",
    host: { MaskedPaths: [], ReadonlyPaths: [] } as Docker.HostConfig,
  },
  {
    name: "--device-cgroup-rule 'c 1:11 rmw'",
    host: { DeviceCgroupRules: ["c 1:11 rmw"] },
  },
  { name: "--network host", host: { NetworkMode: "host" } },
  { name: "--pid host", host: { PidMode: "host" } },
  { name: "--ipc host", host: { IpcMode: "host" } },
  { name: "--uts host", host: { UTSMode: "host" } },
  { name: "--cgroupns private", host: { CgroupnsMode: "private" } as Docker.HostConfig },
  { name: "--privileged", host: { Privileged: true } },
  { name: "exec", exec: {} },
  { name: "exec --user 1000:1000", exec: { user: "1000:1000" } },
  { name: "exec --privileged", exec: { privileged: true } },
];

/** What Docker without a daemon-wide setting does not have: held against its default. */
export const OURS_ONLY: readonly Variant[] = [
  { name: "--userns auto", host: { UsernsMode: "auto" }, against: "default" },
  {
    name: "--userns auto --cap-add ALL",
    host: { UsernsMode: "auto", CapAdd: ["ALL"] },
    against: "--cap-add ALL",
  },
];
