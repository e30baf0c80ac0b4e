// Attaching a container to its networks at start and releasing them at exit. The names of endpoints
// are those of networks; the main one (NetworkMode) comes first. "host", "none" and "container:"
// need nothing of the network layer; docker announces the first two all the same.

import { GantryError, Rollback } from "../../base/index.ts";
import type { Attachment, AttachmentRecord } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";
import { identity, networkNamed } from "../networks/find.ts";
import { announceNetwork } from "./announce.ts";
import { endpointDns } from "./endpoint-names.ts";
import { networkNameOf } from "./endpoints.ts";
import { endpointNames, partOf } from "./gateway.ts";
import { containerOf } from "./host-config.ts";
import { linkedPorts, openLinkedPorts } from "./link-ports.ts";
import { DEFAULT_NETWORK, linksOf, tellLinkingContainers } from "./links.ts";
import { publishRequests } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

const IFNAME = "com.docker.network.endpoint.ifname";
const INTERFACE_PREFIX = "com.docker.network.container_iface_prefix";

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
  linksOf(engine, c, { starting: true });
  // As docker does, one that was disconnected from all of them is given its main one again.
  if (Object.keys(c.endpoints).length === 0) {
    c.endpoints[networkNameOf(engine, c.hostConfig.NetworkMode ?? "bridge")] = {};
  }
  const networks = endpointNames(engine, c).map((name) => requireNamed(engine, name));
  await using undo = new Rollback((what, error) =>
    engine.log.error(`Failed to undo ${what}`, { id: c.id, error }),
  );
  for (const network of networks) {
    if (hasNoEndpoints(network)) continue;
    const request = endpointRequest(engine, c, network, { networks, others: attached.records });
    const attachment = await engine.network.attach(request);
    undo.defer("an attachment", () => engine.network.detach(attachment.record));
    attached.records.push(attachment.record);
    attached.attachments.push(attachment);
  }
  undo.commit();
  await tellLinkingContainers(engine, c, attached.records);
  await openLinkedPorts(engine, c, attached.records);
  return attached;
}

/** What a start would attach now: nothing is taken or made. */
export function previewNetworks(engine: EngineContext, c: ContainerRecord): AttachedNetworks {
  const attached: AttachedNetworks = { records: [], attachments: [] };
  if (hasNoNetworkOfItsOwn(c)) return attached;
  const networks = endpointNames(engine, c).map((name) => requireNamed(engine, name));
  for (const network of networks) {
    if (hasNoEndpoints(network)) continue;
    const request = endpointRequest(engine, c, network, { networks, others: attached.records });
    const attachment = engine.network.preview(request);
    attached.records.push(attachment.record);
    attached.attachments.push(attachment);
  }
  return attached;
}

const hasNoEndpoints = ({ Driver }: Network): boolean => Driver === "host" || Driver === "null";

function endpointRequest(
  engine: EngineContext,
  c: ContainerRecord,
  network: Network,
  { networks, others }: { networks: readonly Network[]; others: readonly AttachmentRecord[] },
) {
  const { publishes, ...part } = partOf(c, network, networks);
  return {
    ...attachRequest(c, network, others),
    ...endpointDns(engine, c, network, others),
    ...part,
    publish: publishes ? publishRequests(c.config, c.hostConfig) : [],
    ...(network.Name === DEFAULT_NETWORK && { reaches: linkedPorts(engine, c) }),
  };
}

/** `others` are the attachments that the container has already. */
export function attachRequest(
  c: ContainerRecord,
  network: Network,
  others: readonly AttachmentRecord[],
) {
  const settings = c.endpoints[network.Name] ?? {};
  const prefer = c.lastAddresses?.[network.Id];
  return {
    containerId: c.id,
    containerName: c.name,
    networkName: network.Id,
    settings,
    interfaceName: interfaceName(network, settings.DriverOpts?.[IFNAME], others),
    ...(settings.MacAddress && { macAddress: settings.MacAddress }),
    ...(prefer && { prefer }),
  };
}

/** The name that was asked for, or the first free number behind the network's prefix. */
function interfaceName(
  network: Network,
  wanted: string | undefined,
  others: readonly AttachmentRecord[],
): string {
  const taken = new Set(["lo", ...others.map((other) => other.interfaceName)]);
  if (wanted && taken.has(wanted)) {
    throw new GantryError(
      "conflict",
      `interface name ${JSON.stringify(wanted)} is already in use in the container`,
    );
  }
  if (wanted) return wanted;
  const prefix = (network["Options"] as Record<string, string>)[INTERFACE_PREFIX] || "eth";
  for (let number = 0; ; number++)
    if (!taken.has(`${prefix}${number}`)) return `${prefix}${number}`;
}

const hasNoNetworkOfItsOwn = (c: ContainerRecord): boolean =>
  c.config.NetworkDisabled === true || containerOf(c.hostConfig.NetworkMode) !== undefined;

/** Gives everything back; what is recorded in `attachments` suffices, also after a crash. */
export async function detachNetworks(
  engine: EngineContext,
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): Promise<void> {
  rememberAddresses(c, attachments);
  // Before an address is free for others.
  await openLinkedPorts(engine, c, []);
  for (const record of attachments) await engine.network.detach(record);
}

/** The events of a run, which steps of builds have none of. As with docker a start that failed is
 * disconnected, though it never was connected. */
export function announceNetworks(
  engine: EngineContext,
  c: ContainerRecord,
  action: "connect" | "disconnect",
): void {
  if (hasNoNetworkOfItsOwn(c)) return;
  for (const name of endpointNames(engine, c)) {
    const network = networkNamed(engine, name);
    if (network) announceNetwork(engine, action, identity(network), c.id);
  }
}

/** Its next run gets them again where nobody has taken them meanwhile. */
function rememberAddresses(c: ContainerRecord, attachments: readonly AttachmentRecord[]): void {
  const entries = attachments.map(({ networkId, ipv4, ipv6 }): [string, string[]] => [
    networkId,
    [ipv4, ipv6].flatMap((ip) => (ip ? [ip.address] : [])),
  ]);
  if (entries.length > 0) c.lastAddresses = Object.fromEntries(entries);
}

function requireNamed(engine: EngineContext, name: string): Network {
  const found = networkNamed(engine, name);
  if (!found) throw new GantryError("not-found", `network ${name} not found`);
  if (found["ConfigOnly"] === true) {
    throw new GantryError(
      "forbidden",
      `network ${name} is only a configuration for other networks: no container can be on it`,
    );
  }
  return found;
}
