// The flags that `run` and `create` share.

import { isIP } from "node:net";
import { defineFlags } from "../../base/index.ts";
import type { DeviceRequest, MountRequest } from "../../spec/index.ts";
import {
  attachStream,
  checkedList,
  deviceCgroupRule,
  dnsSearch,
  environment,
  extraHost,
  invalid,
  ipAddress,
  label,
  link,
  sysctl,
  throttleBytes,
  throttleOperations,
  ulimit,
  weightDevice,
} from "./list-flags.ts";
import { parseMount } from "./mounts.ts";
import { type NetworkAttachment, parseNetwork } from "./networks.ts";
import { parseCpus, parseGpus } from "./policies.ts";

const address = (version: 4 | 6) => (text: string) => {
  const trimmed = text.trim();
  if (trimmed !== "" && isIP(trimmed) === 0) {
    throw invalid(`failed to parse IP: ${JSON.stringify(trimmed)}`);
  }
  void version;
  return trimmed;
};

export const RESOURCE_FLAGS = defineFlags({
  "blkio-weight": { type: "uint16", usage: "Share of block IO, 10 to 1000; 0 turns it off" },
  "cpu-period": { type: "int64", usage: "Period of the CPU quota in microseconds" },
  "cpu-quota": { type: "int64", usage: "CPU time in each period, in microseconds" },
  "cpu-rt-period": { type: "int64", usage: "Period of the real-time CPU limit in microseconds" },
  "cpu-rt-runtime": { type: "int64", usage: "Real-time CPU time in each period, in microseconds" },
  "cpu-shares": { type: "int64", shorthand: "c", usage: "Share of CPU time (relative weight)" },
  cpus: {
    type: "custom",
    valueName: "decimal",
    parse: parseCpus as (text: string) => number,
    default: 0,
    usage: "Number of CPUs",
  },
  "cpuset-cpus": { type: "string", usage: "CPUs to run on (0-3, 0,1)" },
  "cpuset-mems": { type: "string", usage: "Memory nodes to use (0-3, 0,1)" },
  memory: { type: "bytes", shorthand: "m", usage: "Memory limit" },
  "memory-reservation": { type: "bytes", usage: "Soft memory limit" },
  "memory-swap": {
    type: "bytesOrUnlimited",
    usage: "Limit of memory and swap together; '-1' for unlimited swap",
  },
  "pids-limit": { type: "int64", usage: "Limit of processes (-1 for unlimited)" },
});

/** The flags of `create`; `run` adds its own. */
export const CREATE_FLAGS = defineFlags({
  ...RESOURCE_FLAGS,
  "add-host": checkedList(extraHost, "Add a line to /etc/hosts (host:ip)"),
  annotation: checkedList(environment, "Add an annotation that goes to the OCI runtime", {
    valueName: "map",
  }),
  attach: checkedList(attachStream, "Attach to STDIN, STDOUT or STDERR", { shorthand: "a" }),
  "blkio-weight-device": checkedList(weightDevice, "Share of block IO of one device"),
  "cap-add": { type: "list", usage: "Add Linux capabilities" },
  "cap-drop": { type: "list", usage: "Drop Linux capabilities" },
  "cgroup-parent": { type: "string", usage: "Parent cgroup" },
  cgroupns: { type: "string", usage: "Cgroup namespace: 'host' or 'private'" },
  cidfile: { type: "string", usage: "Write the container's id to this file" },
  "cpu-count": { type: "int64", usage: "CPU count (Windows only)", hidden: true },
  "cpu-percent": { type: "int64", usage: "CPU percent (Windows only)", hidden: true },
  device: { type: "list", usage: "Add a device of the host" },
  "device-cgroup-rule": checkedList(deviceCgroupRule, "Add a rule to the cgroup's device list"),
  "device-read-bps": checkedList(throttleBytes, "Limit bytes read from a device a second"),
  "device-read-iops": checkedList(throttleOperations, "Limit reads from a device a second"),
  "device-write-bps": checkedList(throttleBytes, "Limit bytes written to a device a second"),
  "device-write-iops": checkedList(throttleOperations, "Limit writes to a device a second"),
  "disable-content-trust": { type: "bool", default: true, hidden: true },
  dns: checkedList(ipAddress, "Set DNS servers"),
  "dns-option": { type: "list", aliases: ["dns-opt"], usage: "Set DNS options" },
  "dns-search": checkedList(dnsSearch, "Set DNS search domains"),
  domainname: { type: "string", usage: "Domain name of the container" },
  entrypoint: { type: "string", usage: "Run this instead of the image's entry point" },
  env: checkedList(environment, "Set environment variables", { shorthand: "e" }),
  "env-file": { type: "list", usage: "Read environment variables from a file" },
  expose: { type: "list", usage: "Expose a port or a range of ports" },
  gpus: {
    type: "custom",
    valueName: "gpu-request",
    default: [] as DeviceRequest[],
    parse: (text: string, previous: unknown): DeviceRequest[] => [
      ...((previous as DeviceRequest[]) ?? []),
      parseGpus(text),
    ],
    usage: "Add GPUs ('all' for all of them)",
  },
  "group-add": { type: "list", usage: "Join more groups" },
  "health-cmd": { type: "string", usage: "Command that checks the container's health" },
  "health-interval": { type: "duration", usage: "Time between checks (ms|s|m|h)" },
  "health-retries": { type: "int", usage: "Failures in a row that mean unhealthy" },
  "health-start-interval": {
    type: "duration",
    usage: "Time between checks while the container starts (ms|s|m|h)",
  },
  "health-start-period": {
    type: "duration",
    usage: "Time to start in, before failures count (ms|s|m|h)",
  },
  "health-timeout": { type: "duration", usage: "Longest time of one check (ms|s|m|h)" },
  help: { type: "bool", usage: "Print usage" },
  hostname: { type: "string", shorthand: "h", usage: "Host name of the container" },
  init: { type: "bool", usage: "Run a small init as pid 1 that forwards signals and reaps" },
  interactive: { type: "bool", shorthand: "i", usage: "Keep stdin open even if not attached" },
  "io-maxbandwidth": { type: "bytes", usage: "IO bandwidth limit (Windows only)", hidden: true },
  "io-maxiops": { type: "uint64", usage: "IO operations limit (Windows only)", hidden: true },
  ip: {
    type: "custom",
    parse: address(4) as (t: string) => string,
    default: "",
    usage: "IPv4 address (172.30.100.104)",
  },
  ip6: {
    type: "custom",
    parse: address(6) as (t: string) => string,
    default: "",
    usage: "IPv6 address (2001:db8::33)",
  },
  ipc: { type: "string", usage: "IPC namespace to use" },
  isolation: { type: "string", usage: "Isolation technology" },
  "kernel-memory": { type: "bytes", usage: "Kernel memory limit", hidden: true },
  label: checkedList(label, "Set labels", { shorthand: "l" }),
  "label-file": { type: "list", usage: "Read labels from a file" },
  link: checkedList(link, "Add a link to another container"),
  "link-local-ip": checkedList(ipAddress, "Link-local addresses"),
  "log-driver": { type: "string", usage: "Log driver" },
  "log-opt": { type: "list", usage: "Options of the log driver" },
  "mac-address": { type: "string", usage: "MAC address (92:d0:c6:0a:29:33)" },
  "memory-swappiness": {
    type: "int64",
    default: -1,
    usage: "How readily memory is swapped out (0 to 100)",
  },
  mount: {
    type: "custom",
    valueName: "mount",
    default: [] as MountRequest[],
    parse: (text: string, previous: unknown): MountRequest[] => [
      ...((previous as MountRequest[]) ?? []),
      parseMount(text),
    ],
    usage: "Attach a file system mount",
  },
  name: { type: "string", usage: "Name of the container" },
  network: {
    type: "custom",
    valueName: "network",
    aliases: ["net"],
    default: [] as NetworkAttachment[],
    parse: (text: string, previous: unknown): NetworkAttachment[] => [
      ...((previous as NetworkAttachment[]) ?? []),
      parseNetwork(text),
    ],
    usage: "Connect to a network",
  },
  "network-alias": {
    type: "list",
    aliases: ["net-alias"],
    usage: "Name of the container within the network",
  },
  "no-healthcheck": { type: "bool", usage: "Turn the image's health check off" },
  "oom-kill-disable": { type: "bool", usage: "Pause instead of kill when memory is exhausted" },
  "oom-score-adj": { type: "int", usage: "Preference of the OOM killer (-1000 to 1000)" },
  pid: { type: "string", usage: "PID namespace to use" },
  platform: { type: "string", usage: "Platform, where the image has several" },
  privileged: { type: "bool", usage: "Give extended privileges" },
  publish: { type: "list", shorthand: "p", usage: "Publish ports to the host" },
  "publish-all": {
    type: "bool",
    shorthand: "P",
    usage: "Publish all exposed ports to random ports",
  },
  pull: {
    type: "string",
    default: "missing",
    usage: 'When to pull the image ("always", "missing", "never")',
  },
  quiet: { type: "bool", shorthand: "q", usage: "Show no progress of pulls" },
  "read-only": { type: "bool", usage: "Mount the root file system read-only" },
  restart: { type: "string", default: "no", usage: "When to restart the container after it exits" },
  rm: {
    type: "bool",
    usage: "Remove the container and its anonymous volumes when it exits",
  },
  runtime: { type: "string", usage: "Runtime to use" },
  "security-opt": { type: "list", usage: "Security options" },
  "shm-size": { type: "bytes", usage: "Size of /dev/shm" },
  "stop-signal": { type: "string", usage: "Signal that stops the container" },
  "stop-timeout": { type: "int", usage: "Seconds to wait for the container to stop" },
  "storage-opt": { type: "list", usage: "Options of the storage driver" },
  sysctl: checkedList(sysctl, "Set kernel parameters", { valueName: "map" }),
  tmpfs: { type: "list", usage: "Mount a tmpfs" },
  tty: { type: "bool", shorthand: "t", usage: "Allocate a terminal" },
  ulimit: checkedList(ulimit, "Set limits of processes", { valueName: "ulimit" }),
  "use-api-socket": { type: "bool", usage: "Mount the API's socket and credentials", hidden: true },
  user: {
    type: "string",
    shorthand: "u",
    usage: "User to run as (<name|uid>[:<group|gid>])",
  },
  userns: { type: "string", usage: "User namespace to use" },
  uts: { type: "string", usage: "UTS namespace to use" },
  volume: { type: "list", shorthand: "v", usage: "Mount a folder of the host or a volume" },
  "volume-driver": { type: "string", usage: "Volume driver" },
  "volumes-from": { type: "list", usage: "Mount the volumes of other containers" },
  workdir: { type: "string", shorthand: "w", usage: "Working folder inside the container" },
});

export const RUN_FLAGS = defineFlags({
  ...CREATE_FLAGS,
  detach: { type: "bool", shorthand: "d", usage: "Run in the background and print the id" },
  "detach-keys": { type: "string", usage: "Keys that detach from the container" },
  "sig-proxy": { type: "bool", default: true, usage: "Pass signals on to the process" },
});
