// The facts of an explanation that are not in the plan: the image's layers, the networks, the
// profile of system calls, and what the daemon itself does around the container.

import { defaultSeccomp } from "../../runtime/index.ts";
import type { HostConfig, OciSeccomp, OciSpec } from "../../spec/index.ts";
import { upstreamsOf } from "../containers/container-files.ts";
import { capabilitiesFor } from "../containers/oci-capabilities.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { parseSecurityOptions } from "../containers/security-options.ts";
import type { EngineContext } from "../context.ts";
import type {
  ContainerFacts,
  EndpointFacts,
  ImageFacts,
  NetworkFacts,
  SeccompFacts,
} from "../contract.ts";
import { hostPlatform } from "../images/find.ts";
import type { GatheredPlan } from "./gather.ts";

const NETLINK_ROUTE = 0;
const ALLOW = "SCMP_ACT_ALLOW";

export function imageFacts(engine: EngineContext, c: ContainerRecord): ImageFacts {
  const image = engine.storage.images.get(c.imageId);
  const { os, architecture } = hostPlatform();
  const config = image?.config;
  const variant = config?.variant ? `/${config.variant}` : "";
  return {
    reference: c.imageName,
    id: c.imageId,
    platform: config
      ? `${config.os || "linux"}/${config.architecture ?? ""}${variant}`
      : c.platform,
    hostPlatform: `${os}/${architecture}`,
    layers: c.diffIds.map((diffId) => {
      const layer = engine.storage.layers.get(diffId);
      const [blob] = engine.storage.layers.blobs(diffId);
      return {
        diffId,
        ...(blob && { digest: blob.digest }),
        size: layer?.size ?? 0,
        folder: layer?.dir ?? "",
      };
    }),
  };
}

export function seccompFacts(
  engine: EngineContext,
  c: ContainerRecord,
  { spec }: GatheredPlan,
  instructions: number,
): SeccompFacts {
  const { kernel } = engine.runtime;
  const profile = spec.linux?.seccomp;
  const plain = defaultSeccomp(capabilitiesFor({}, kernel.heldCapabilities), kernel);
  const allowed = allowedBy(profile);
  const before = allowedBy(plain);
  const conditional = (profile?.syscalls ?? [])
    .filter(({ action, args }) => action === ALLOW && args?.length)
    .flatMap(({ names }) => names);
  return {
    ...whichProfile(engine, c.hostConfig, profile),
    ...(profile && { defaultAction: actionOf(profile) }),
    allowed: allowed.size,
    conditional: [...new Set(conditional)].sort(),
    architectures: profile?.architectures ?? [],
    instructions,
    more: profile ? [...allowed].filter((name) => !before.has(name)).sort() : [],
    less: profile ? [...before].filter((name) => !allowed.has(name)).sort() : [],
  };
}

function allowedBy(profile: OciSeccomp | undefined): Set<string> {
  const names = (profile?.syscalls ?? [])
    .filter(({ action }) => action === ALLOW)
    .flatMap((rule) => rule.names);
  return new Set(names);
}

const actionOf = ({ defaultAction, defaultErrnoRet }: OciSeccomp): string =>
  defaultAction === "SCMP_ACT_ERRNO"
    ? `${defaultAction} (errno ${defaultErrnoRet ?? 1})`
    : defaultAction;

function whichProfile(
  engine: EngineContext,
  host: HostConfig,
  profile: OciSeccomp | undefined,
): Pick<SeccompFacts, "profile" | "why"> {
  const { security: defaults } = engine.options.defaults;
  const { seccomp } = parseSecurityOptions(host.SecurityOpt ?? [], defaults);
  const asked = (host.SecurityOpt ?? []).some((option) => /^seccomp[=:]/.test(option));
  if (host.Privileged) return { profile: "none", why: "--privileged" };
  if (!profile && seccomp === undefined)
    return { profile: "none", why: "the kernel has no seccomp" };
  const by = asked ? "--security-opt seccomp" : "the daemon's default profile";
  if (!profile) return { profile: "none", why: `${by}=unconfined` };
  if (seccomp !== undefined) return { profile: "custom", why: by };
  return { profile: "default", why: (host.CapAdd ?? []).length > 0 ? "--cap-add" : "no flag" };
}

export function networkFacts(
  engine: EngineContext,
  c: ContainerRecord,
  { attached, planned }: GatheredPlan,
): NetworkFacts {
  const known = engine.network.describe();
  const messages = planned.plan.host.filter((operation) => operation.op === "netlink");
  const route = messages.filter(({ protocol }) => Number(protocol) === NETLINK_ROUTE).length;
  return {
    mode: c.config.NetworkDisabled ? "none" : (c.hostConfig.NetworkMode ?? "bridge"),
    endpoints: attached.records.map((record): EndpointFacts => {
      const network = known.find(({ Id }) => Id === record.networkId);
      const ipam = network?.["IPAM"] as { Config?: { Subnet?: string }[] } | undefined;
      const options = network?.["Options"] as Record<string, string> | undefined;
      const bridge = options?.["com.docker.network.bridge.name"];
      const ips = [record.ipv4, record.ipv6].filter((ip) => ip !== undefined);
      return {
        network: network?.Name ?? record.networkId,
        driver: network?.Driver ?? "",
        subnets: (ipam?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
        ...(network?.Driver === "bridge" && { bridge: bridge ?? bridgeOf(network.Id) }),
        internal: network?.["Internal"] === true,
        interfaceName: record.interfaceName,
        hostInterface: record.hostInterface,
        mac: record.macAddress,
        addresses: ips.map(({ address, prefix }) => `${address}/${prefix}`),
        gateways: ips.flatMap(({ gateway }) => gateway || []),
        ports: record.ports,
        names: record.dns?.names ?? [],
      };
    }),
    nameServers: upstreamsOf(engine, c),
    resolver: attached.records.some(({ dns }) => dns !== undefined),
    messages: { route, firewall: messages.length - route },
  };
}

/** As docker names the bridges of networks that users make. */
const bridgeOf = (networkId: string): string => `br-${networkId.slice(0, 12)}`;

const NANOSECONDS = 1e9;

export function containerFacts(
  engine: EngineContext,
  c: ContainerRecord,
  spec: OciSpec,
): ContainerFacts {
  const { config, hostConfig: host } = c;
  const { defaults } = engine.options;
  const { Name = "no", MaximumRetryCount = 0 } = host.RestartPolicy ?? {};
  const paths = engine.paths.container(c.id);
  const driver = host.LogConfig?.Type ?? defaults.logDriver;
  return {
    hostname: config.Hostname ?? "",
    user: config.User ?? "",
    entrypoint: config.Entrypoint ?? [],
    command: config.Cmd ?? [],
    privileged: host.Privileged === true,
    capAdd: host.CapAdd ?? [],
    capDrop: host.CapDrop ?? [],
    init: host.Init ?? defaults.init,
    stopSignal: config.StopSignal || "SIGTERM",
    stopSeconds: config.StopTimeout ?? defaults.stopTimeoutSeconds,
    restart: MaximumRetryCount > 0 ? `${Name}:${MaximumRetryCount}` : Name,
    autoRemove: host.AutoRemove === true,
    health: healthText(config.Healthcheck),
    log: {
      driver,
      options: host.LogConfig?.Config ?? {},
      path: driver === "none" ? "" : paths.log,
    },
    monitor: paths.socket,
    apparmor: spec.process?.apparmorProfile ?? "",
    selinux: spec.process?.selinuxLabel ?? "",
  };
}

function healthText(check: ContainerRecord["config"]["Healthcheck"]): string {
  const [kind, ...words] = check?.Test ?? [];
  if (!check || kind === undefined || kind === "NONE") return "";
  const seconds = (value: number | undefined, otherwise: number) =>
    `${(value || otherwise * NANOSECONDS) / NANOSECONDS} s`;
  return (
    `${words.join(" ")} every ${seconds(check.Interval, 30)}, within ` +
    `${seconds(check.Timeout, 30)}, unhealthy after ${check.Retries || 3} failures`
  );
}
