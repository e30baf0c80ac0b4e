// `info` for people.

import { humanBinarySize } from "../../base/index.ts";

interface Commit {
  ID?: string;
}
export interface InfoAnswer {
  ID?: string;
  Name?: string;
  Containers: number;
  ContainersRunning: number;
  ContainersPaused: number;
  ContainersStopped: number;
  Images: number;
  ServerVersion?: string;
  Driver?: string;
  DriverStatus?: [string, string][] | null;
  LoggingDriver?: string;
  CgroupDriver?: string;
  CgroupVersion?: string;
  Plugins?: Record<string, string[] | null>;
  CDISpecDirs?: string[] | null;
  Swarm?: { LocalNodeState?: string };
  Runtimes?: Record<string, unknown>;
  DefaultRuntime?: string;
  InitBinary?: string;
  ContainerdCommit?: Commit;
  RuncCommit?: Commit;
  InitCommit?: Commit;
  SecurityOptions?: string[] | null;
  KernelVersion?: string;
  OperatingSystem?: string;
  OSType?: string;
  Architecture?: string;
  NCPU: number;
  MemTotal: number;
  DockerRootDir?: string;
  Debug?: boolean;
  NFd?: number;
  NGoroutines?: number;
  SystemTime?: string;
  NEventsListener?: number;
  HttpProxy?: string;
  HttpsProxy?: string;
  NoProxy?: string;
  Labels?: string[] | null;
  ExperimentalBuild?: boolean;
  RegistryConfig?: {
    InsecureRegistryCIDRs?: string[] | null;
    IndexConfigs?: Record<string, { Secure?: boolean; Name: string }> | null;
    Mirrors?: string[] | null;
  };
  LiveRestoreEnabled?: boolean;
  ProductLicense?: string;
  DefaultAddressPools?: { Base: string; Size: number }[] | null;
  FirewallBackend?: { Driver: string };
  Warnings?: string[] | null;
}

class Lines {
  text = "";
  line(text: string): void {
    this.text += ` ${text}\n`;
  }
  field(name: string, value: unknown): void {
    if (value !== undefined && value !== "") this.line(`${name}: ${value}`);
  }
  list(name: string, values: readonly string[] | null | undefined): void {
    if (!values || values.length === 0) return;
    this.line(`${name}:`);
    for (const value of values) this.line(` ${value}`);
  }
}

export function infoText(
  client: { Version: string; Context: string; Debug: boolean },
  info: InfoAnswer | undefined,
): string {
  const head =
    `Client:\n Version:    ${client.Version}\n Context:    ${client.Context}\n` +
    ` Debug Mode: ${client.Debug}\n\nServer:\n`;
  if (!info) return head;
  const out = new Lines();
  counts(out, info);
  drivers(out, info);
  security(out, info);
  machine(out, info);
  return `${head}${out.text}\n`;
}

function counts(out: Lines, info: InfoAnswer): void {
  out.line(`Containers: ${info.Containers}`);
  out.line(` Running: ${info.ContainersRunning}`);
  out.line(` Paused: ${info.ContainersPaused}`);
  out.line(` Stopped: ${info.ContainersStopped}`);
  out.line(`Images: ${info.Images}`);
}

function drivers(out: Lines, info: InfoAnswer): void {
  out.field("Server Version", info.ServerVersion);
  out.field("Storage Driver", info.Driver);
  for (const [name, value] of info.DriverStatus ?? []) out.line(` ${name}: ${value}`);
  out.field("Logging Driver", info.LoggingDriver);
  out.field("Cgroup Driver", info.CgroupDriver);
  out.field("Cgroup Version", info.CgroupVersion);
  const plugins = info.Plugins ?? {};
  out.line("Plugins:");
  out.line(` Volume: ${(plugins["Volume"] ?? []).join(" ")}`);
  out.line(` Network: ${(plugins["Network"] ?? []).join(" ")}`);
  if (plugins["Authorization"]?.length) {
    out.line(` Authorization: ${plugins["Authorization"].join(" ")}`);
  }
  out.line(` Log: ${(plugins["Log"] ?? []).join(" ")}`);
  out.list("CDI spec directories", info.CDISpecDirs);
  out.field("Swarm", info.Swarm?.LocalNodeState);
  const runtimes = Object.keys(info.Runtimes ?? {});
  if (runtimes.length > 0) out.line(`Runtimes: ${runtimes.join(" ")}`);
  out.field("Default Runtime", info.DefaultRuntime);
}

function security(out: Lines, info: InfoAnswer): void {
  if (info.OSType === "linux") {
    out.field("Init Binary", info.InitBinary);
    out.field("containerd version", info.ContainerdCommit?.ID);
    out.field("runc version", info.RuncCommit?.ID);
    out.field("init version", info.InitCommit?.ID);
  }
  if (!info.SecurityOptions?.length) return;
  out.line("Security Options:");
  for (const option of info.SecurityOptions) {
    const [first = "", ...rest] = option.split(",").map((part) => part.replace(/^name=/, ""));
    out.line(` ${first}`);
    for (const pair of rest) {
      const [key = "", value = ""] = pair.split("=");
      out.line(`  ${key.charAt(0).toUpperCase()}${key.slice(1)}: ${value}`);
    }
  }
}

function machine(out: Lines, info: InfoAnswer): void {
  out.field("Kernel Version", info.KernelVersion);
  out.field("Operating System", info.OperatingSystem);
  out.field("OSType", info.OSType);
  out.field("Architecture", info.Architecture);
  out.line(`CPUs: ${info.NCPU}`);
  out.line(`Total Memory: ${humanBinarySize(info.MemTotal)}`);
  out.field("Name", info.Name);
  out.field("ID", info.ID);
  out.field("Docker Root Dir", info.DockerRootDir);
  out.line(`Debug Mode: ${info.Debug ?? false}`);
  if (info.Debug) {
    out.line(` File Descriptors: ${info.NFd}`);
    out.line(` Goroutines: ${info.NGoroutines}`);
    out.line(` System Time: ${info.SystemTime}`);
    out.line(` EventsListeners: ${info.NEventsListener}`);
  }
  out.field("HTTP Proxy", info.HttpProxy);
  out.field("HTTPS Proxy", info.HttpsProxy);
  out.field("No Proxy", info.NoProxy);
  out.list("Labels", info.Labels);
  out.line(`Experimental: ${info.ExperimentalBuild ?? false}`);
  registries(out, info);
  out.line(`Live Restore Enabled: ${info.LiveRestoreEnabled ?? false}`);
  out.field("Product License", info.ProductLicense);
  if (info.DefaultAddressPools?.length) {
    out.line("Default Address Pools:");
    for (const { Base, Size } of info.DefaultAddressPools) {
      out.line(`  Base: ${Base}, Size: ${Size}`);
    }
  }
  out.field("Firewall Backend", info.FirewallBackend?.Driver);
}

function registries(out: Lines, { RegistryConfig: config }: InfoAnswer): void {
  const insecure = Object.values(config?.IndexConfigs ?? {})
    .filter(({ Secure }) => Secure === false)
    .map(({ Name }) => Name);
  out.list("Insecure Registries", [...insecure, ...(config?.InsecureRegistryCIDRs ?? [])]);
  out.list("Registry Mirrors", config?.Mirrors);
}
