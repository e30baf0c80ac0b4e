// Attaching a container to its networks at start and releasing them at exit. The names of endpoints
// are those of networks; the main one (NetworkMode) comes first and is eth0. "host", "none" and
// "container:" need nothing of the network layer; docker announces the first two all the same.

import { GantryError, Rollback } from "../../base/index.ts";
import type { Attachment, AttachmentRecord, PublishRequest } from "../../network/index.ts";
import type { ContainerConfig, EndpointSettings, HostConfig } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { announceNetwork } from "./announce.ts";
import { endpointDns } from "./endpoint-names.ts";
import { containerOf } from "./host-config.ts";
import type { ContainerRecord } from "./record.ts";

const PORT_MAX = 65_535;

export interface AttachedNetworks {
  records: AttachmentRecord[];
  attachments: Attachment[];
}

export async function attachNetworks(
  engine: EngineContext,
  c: ContainerRecord,
): Promise<AttachedNetworks> {
  const attached: AttachedNetworks = { records: [], attachments: [] };
  if (hasNoNetworkOfItsOwn(c)) return attached;
  const networks = endpointNames(c).map((name) => describeNetwork(engine, name));
  const gateway = gatewayOf(c, networks);
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what}`, { id: c.id, error }),
  );
  for (const [index, network] of networks.entries()) {
    if (network.Driver === "host" || network.Driver === "null") continue;
    const attachment = await engine.network.attach({
      ...attachRequest(c, network, network === gateway),
      ...endpointDns(engine, c, network, attached.records),
      interfaceName: `eth${index}`,
    });
    undo.defer("an attachment", () => engine.network.detach(attachment.record));
    attached.records.push(attachment.record);
    attached.attachments.push(attachment);
  }
  undo.commit();
  for (const network of networks) announceNetwork(engine, "connect", identity(network), c.id);
  return attached;
}

/** Only the network that has the default route publishes ports, as docker does. */
export function attachRequest(c: ContainerRecord, network: NetworkIdentity, isGateway: boolean) {
  const settings = c.endpoints[network.Name] ?? {};
  return {
    containerId: c.id,
    containerName: c.name,
    networkName: network.Id,
    settings,
    publish: isGateway ? publishRequests(c.config, c.hostConfig) : [],
    position: isGateway ? 0 : 1,
    ...(settings.MacAddress && { macAddress: settings.MacAddress }),
  };
}

/** The network that gives the default route: the highest priority, then the main one. */
function gatewayOf(
  c: ContainerRecord,
  networks: readonly NetworkIdentity[],
): NetworkIdentity | undefined {
  const priority = ({ Name }: NetworkIdentity): number => c.endpoints[Name]?.GwPriority ?? 0;
  return networks
    .filter((network) => network["Internal"] !== true)
    .reduce<NetworkIdentity | undefined>(
      (best, next) => (best && priority(best) >= priority(next) ? best : next),
      undefined,
    );
}

/** The main network first. One that was disconnected from all is given its main one again. */
function endpointNames(c: ContainerRecord): string[] {
  const mode = c.hostConfig.NetworkMode ?? "bridge";
  const names = Object.keys(c.endpoints);
  if (names.length === 0) return [mode];
  return names.includes(mode) ? [mode, ...names.filter((name) => name !== mode)] : names;
}

const hasNoNetworkOfItsOwn = (c: ContainerRecord): boolean =>
  c.config.NetworkDisabled === true || containerOf(c.hostConfig.NetworkMode) !== undefined;

/** Gives everything back; what is recorded in `attachments` suffices, also after a crash. */
export async function detachNetworks(
  engine: EngineContext,
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): Promise<void> {
  for (const record of attachments) await engine.network.detach(record);
  if (hasNoNetworkOfItsOwn(c)) return;
  for (const name of endpointNames(c)) {
    const network = findNetwork(engine, name);
    if (network) announceNetwork(engine, "disconnect", identity(network), c.id);
  }
}

export function findNetwork(engine: EngineContext, name: string): NetworkIdentity | undefined {
  return engine.network.describe().find((n) => n.Name === name || n.Id === name);
}

function describeNetwork(engine: EngineContext, name: string): NetworkIdentity {
  const found = findNetwork(engine, name);
  if (!found) throw new GantryError("not-found", `network ${name} not found`);
  return found;
}

/** Address on a network that has none is a mistake, not a wish to pass over. */
export function checkAddresses(mode: string, endpoint?: EndpointSettings | null): void {
  const { IPv4Address, IPv6Address } = endpoint?.IPAMConfig ?? {};
  if ((mode !== "none" && mode !== "host") || !(IPv4Address || IPv6Address)) return;
  throw new GantryError(
    "invalid",
    "user specified IP address is supported on user defined networks only",
  );
}

export type NetworkIdentity = {
  Id: string;
  Name: string;
  Driver: string;
  [field: string]: unknown;
};

export const identity = (network: NetworkIdentity) => ({
  id: network.Id,
  name: network.Name,
  type: network.Driver,
});

/** What -p and -P ask for. Throws invalid with docker's wording. */
export function publishRequests(config: ContainerConfig, host: HostConfig): PublishRequest[] {
  const requests: PublishRequest[] = [];
  const bindings: NonNullable<HostConfig["PortBindings"]> = { ...host.PortBindings };
  for (const port of Object.keys(config.ExposedPorts ?? {})) bindings[port] ??= [];
  // A port whose list is empty is only exposed, and published somewhere with -P.
  const otherwise = host.PublishAllPorts ? [{ HostIp: "", HostPort: "" }] : [];
  for (const [port, wanted] of Object.entries(bindings)) {
    const { number, protocol } = parsePort(port);
    const all = wanted?.length ? wanted : otherwise;
    for (const { HostIp, HostPort } of all) {
      const [hostPort, hostPortEnd] = parseRange(HostPort ?? "");
      const hostIp = HostIp ?? "";
      requests.push({ containerPort: number, protocol, hostIp, hostPort, hostPortEnd });
    }
  }
  return requests;
}

export function parsePort(text: string): {
  number: number;
  protocol: PublishRequest["protocol"];
} {
  const [port = "", protocol = "tcp"] = text.split("/");
  const number = Number(port);
  if (!/^\d+$/.test(port) || number < 1 || number > PORT_MAX) {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  const known = protocol.toLowerCase();
  if (known !== "tcp" && known !== "udp" && known !== "sctp") {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  return { number, protocol: known };
}

function parseRange(text: string): [first: number, last: number] {
  if (text === "") return [0, 0];
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1] ?? -1);
  const last = Number(match?.[2] ?? first);
  if (first < 0 || last > PORT_MAX || last < first) {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  return [first, last];
}

/** The endpoint as inspect shows it: what was asked for, and what the network layer gave. */
export function renderEndpoint(
  settings: EndpointSettings,
  networkId: string,
  record: AttachmentRecord | undefined,
): EndpointSettings {
  return {
    IPAMConfig: settings.IPAMConfig ?? null,
    Links: settings.Links ?? null,
    Aliases: settings.Aliases ?? null,
    MacAddress: record?.macAddress ?? "",
    DriverOpts: settings.DriverOpts ?? null,
    GwPriority: settings.GwPriority ?? 0,
    NetworkID: networkId,
    EndpointID: record?.endpointId ?? "",
    Gateway: record?.ipv4?.gateway ?? "",
    IPAddress: record?.ipv4?.address ?? "",
    IPPrefixLen: record?.ipv4?.prefix ?? 0,
    IPv6Gateway: record?.ipv6?.gateway ?? "",
    GlobalIPv6Address: record?.ipv6?.address ?? "",
    GlobalIPv6PrefixLen: record?.ipv6?.prefix ?? 0,
    DNSNames: settings.DNSNames ?? null,
  };
}
