// Writes the files that are mounted over a container's /etc/hosts, /etc/resolv.conf and
// /etc/hostname. They are tiny and local: written synchronously, which costs less than a trip
// through the thread pool on the path of every start.

import { readFileSync, writeFileSync } from "node:fs";
import { type AttachmentRecord, RESOLVER_ADDRESS } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerPaths } from "../paths.ts";
import { containerOf } from "./host-config.ts";
import { linkLines } from "./links.ts";
import { hostsFile, resolvConfFile, upstreamServers } from "./network-files.ts";
import type { ContainerRecord } from "./record.ts";

const MODE = 0o644;
/** Where systemd-resolved keeps the servers behind its stub. */
const RESOLVED = "/run/systemd/resolve/resolv.conf";
const RESOLV_CONF = "/etc/resolv.conf";

/** The files from which the name servers of the host come. */
export const hostResolvConfs = ({ options }: EngineContext): readonly string[] => [
  options.defaults.resolvConf ?? RESOLV_CONF,
  RESOLVED,
];

/** Returns the paths to mount: those of another container where its network is shared. */
export function writeContainerFiles(
  engine: EngineContext,
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): Pick<ContainerPaths, "hostname" | "hosts" | "resolvConf"> {
  const shared = containerOf(c.hostConfig.NetworkMode);
  if (shared !== undefined) return engine.paths.container(engine.containers.find(shared).id);
  const paths = engine.paths.container(c.id);
  const { config, hostConfig } = c;
  const sharesHostNetwork = hostConfig.NetworkMode === "host";
  const addresses = attachments.flatMap(({ ipv4, ipv6 }) => [
    ...(ipv4 ? [ipv4.address] : []),
    ...(ipv6 ? [ipv6.address] : []),
  ]);
  const hosts = hostsFile({
    ...(sharesHostNetwork && { base: read("/etc/hosts") }),
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    addresses,
    extraHosts: hostConfig.ExtraHosts ?? [],
    links: linkLines(engine, c),
    hostGateways: (hostConfig.ExtraHosts ?? []).some((entry) => entry.endsWith("host-gateway"))
      ? hostGateways(engine, attachments)
      : [],
  });
  writeFileSync(paths.hosts, hosts, { mode: MODE });
  writeResolvConf(engine, c, attachments);
  writeFileSync(paths.hostname, `${config.Hostname ?? ""}\n`, { mode: MODE });
  return paths;
}

/** Also when a container joins its first network with names while it runs. */
export function writeResolvConf(
  engine: EngineContext,
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): void {
  const { hostConfig } = c;
  const { defaults } = engine.options;
  const resolvConf = resolvConfFile({
    ...hostResolvConf(engine),
    servers: serversOf(engine, c),
    search: hostConfig.DnsSearch?.length ? hostConfig.DnsSearch : defaults.dnsSearch,
    options: hostConfig.DnsOptions?.length ? hostConfig.DnsOptions : defaults.dnsOptions,
    sharesHostNetwork: hostConfig.NetworkMode === "host",
    ...(attachments.some(({ dns }) => dns) && { resolver: RESOLVER_ADDRESS }),
  });
  writeFileSync(engine.paths.container(c.id).resolvConf, resolvConf, { mode: MODE });
}

/** Whom the resolver asks for names that are none of a network's. */
export function upstreamsOf(engine: EngineContext, c: ContainerRecord): string[] {
  return upstreamServers({ ...hostResolvConf(engine), servers: serversOf(engine, c) });
}

const serversOf = (engine: EngineContext, { hostConfig }: ContainerRecord): readonly string[] =>
  hostConfig.Dns?.length ? hostConfig.Dns : engine.options.defaults.dns;

function hostResolvConf({ options }: EngineContext): { host: string; path: string } {
  const path = options.defaults.resolvConf ?? RESOLV_CONF;
  const host = read(path);
  const behind = /^nameserver\s+127\.0\.0\.53\s*$/m.test(host) ? read(RESOLVED) : "";
  return behind === "" ? { host, path } : { host: behind, path: RESOLVED };
}

/** The host as the container reaches it: by the first of its networks that is not internal. */
function hostGateways(engine: EngineContext, attachments: readonly AttachmentRecord[]): string[] {
  const chosen = engine.options.defaults.hostGateways ?? [];
  if (chosen.length > 0) return chosen;
  const networks = engine.network.describe();
  const internal = new Set(networks.filter((one) => one["Internal"] === true).map(({ Id }) => Id));
  const outer = attachments.filter(({ networkId }) => !internal.has(networkId));
  const gateways = outer.flatMap(({ ipv4 }) => ipv4?.gateway || []);
  return [gateways[0] ?? bridgeGateway(networks)].filter((address) => address !== "");
}

function bridgeGateway(networks: ReturnType<EngineContext["network"]["describe"]>): string {
  const bridge = networks.find(({ Name }) => Name === "bridge");
  const ipam = bridge?.["IPAM"] as { Config?: { Gateway?: string }[] } | undefined;
  return ipam?.Config?.find(({ Gateway }) => Gateway?.includes("."))?.Gateway ?? "";
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
