// The host config as dockerd keeps and shows it: daemon-wide defaults filled in, and the checks
// that belong to the engine (modes that name other containers, log drivers, restart policy).

import { GantryError, messageOf } from "../../base/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { remoteDriver } from "../log-drivers/index.ts";
import { checkLogOptions } from "../logs/index.ts";
import { checkRuntime } from "../runtimes/foreign.ts";
import type { ContainerRecord } from "./record.ts";
import { checkRestartPolicy } from "./restart-policy.ts";
import { storageSize } from "./storage-size.ts";
import { checkUserns, usernsOption } from "./user-namespace.ts";

/** Docker's masked and read-only paths (oci.DefaultSpec). */
export const maskedPathsDefault = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
export const readonlyPathsDefault = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** Returns a copy with every default filled in. */
export function completeHostConfig(engine: EngineContext, given: HostConfig): HostConfig {
  const { defaults } = engine.options;
  const host: HostConfig = { ...given };
  if (!host.NetworkMode || host.NetworkMode === "default") host.NetworkMode = "bridge";
  if (!host.ShmSize) host.ShmSize = defaults.shmSizeBytes;
  host.IpcMode ||= defaults.ipcMode;
  const privileged = host.Privileged === true;
  host.CgroupnsMode ||= usesV1(engine) && privileged ? "host" : defaults.cgroupnsMode;
  host.CgroupnsMode ||= usesV1(engine) ? "host" : "private";
  host.RestartPolicy = {
    Name: host.RestartPolicy?.Name || "no",
    MaximumRetryCount: host.RestartPolicy?.MaximumRetryCount ?? 0,
  };
  host.LogConfig = logConfig(engine, host);
  host.Runtime ||= engine.options.runtimes?.default ?? "runc";
  if (host.MemorySwappiness === -1) host.MemorySwappiness = null;
  host.PidMode ??= "";
  host.UTSMode ??= "";
  host.UsernsMode = usernsOption(host);
  if (host.Memory && !host.MemorySwap) host.MemorySwap = host.Memory * 2;
  if (usesV1(engine)) host.OomKillDisable ??= false;
  host.MaskedPaths ??= privileged ? null : maskedPathsDefault;
  host.ReadonlyPaths ??= privileged ? null : readonlyPathsDefault;
  host.Binds ??= null;
  host.PortBindings ??= {};
  host.ConsoleSize ??= [0, 0];
  return host;
}

function logConfig(engine: EngineContext, host: HostConfig): HostConfig["LogConfig"] {
  const { logDriver, logOptions } = engine.options.defaults;
  const type = host.LogConfig?.Type || logDriver;
  const own = host.LogConfig?.Config ?? {};
  return { Type: type, Config: type === logDriver ? { ...logOptions, ...own } : { ...own } };
}

/** Throws invalid, or not-implemented with the reason. */
export function checkHostConfig(engine: EngineContext, host: HostConfig): void {
  checkRestartPolicy(host);
  checkRuntime(engine, host);
  const { Type = "json-file", Config } = host.LogConfig ?? {};
  checkLogOptions(Type, Config ?? {}, remoteDriver);
  storageSize(host.StorageOpt);
  checkUserns(engine, host);
  for (const mode of [host.NetworkMode, host.IpcMode, host.PidMode]) {
    const ref = containerOf(mode);
    if (ref === "") throw new GantryError("invalid", `invalid mode: ${mode}`);
    if (ref === undefined) continue;
    const isNetwork = mode === host.NetworkMode;
    findNamed(engine, ref, isNetwork ? "joining network namespace of container: " : "");
  }
}

/** A container that a flag names; "not-found" would make the docker CLI pull the image. */
export function findNamed(engine: EngineContext, ref: string, whatFor = ""): ContainerRecord {
  try {
    return engine.containers.find(ref);
  } catch (cause) {
    throw new GantryError("invalid", whatFor + messageOf(cause), { cause });
  }
}

/** The container that "container:REF" names. */
export function containerOf(mode: string | undefined): string | undefined {
  return mode?.startsWith("container:") ? mode.slice("container:".length) : undefined;
}

function usesV1(engine: EngineContext): boolean {
  return engine.runtime.kernel.cgroup.version !== 2;
}
