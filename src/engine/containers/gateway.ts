// Over which of its networks a container goes out: of those that have a way out, the one with the
// highest gw-priority; among equals the main one (NetworkMode), then the one that was joined first,
// so that joining a network moves nobody's connections. Ports are published there too. Both follow
// when networks come and go while it runs.

import type { AttachmentRecord, PublishedPort, PublishRequest } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";
import { networkNamed } from "../networks/find.ts";
import { networkNameOf } from "./endpoints.ts";
import { publishRequests } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

type Family = 4 | 6;
const FAMILIES: readonly Family[] = [4, 6];

/** The networks that a container is to be on, the main one first. */
export function endpointNames(engine: EngineContext, c: ContainerRecord): string[] {
  const mode = networkNameOf(engine, c.hostConfig.NetworkMode ?? "bridge");
  const names = Object.keys(c.endpoints);
  return names.includes(mode) ? [mode, ...names.filter((name) => name !== mode)] : names;
}

/** The network that gives the default route of a family, among `networks` in their order. */
export function gatewayOf(
  c: ContainerRecord,
  networks: readonly Network[],
  family: Family,
): Network | undefined {
  const priority = ({ Name }: Network): number => c.endpoints[Name]?.GwPriority ?? 0;
  return networks
    .filter((network) => leadsOut(network, family))
    .reduce<Network | undefined>(
      (best, next) => (best && priority(best) >= priority(next) ? best : next),
      undefined,
    );
}

function leadsOut(network: Network, family: Family): boolean {
  const { Driver } = network["IPAM"] as { Driver?: string };
  if (network["Internal"] === true || Driver === "null") return false;
  if (network.Driver === "host" || network.Driver === "null") return false;
  return network[family === 4 ? "EnableIPv4" : "EnableIPv6"] === true;
}

/** For attach: the families that a network leads, and whether ports are published on it. */
export function partOf(
  c: ContainerRecord,
  network: Network,
  networks: readonly Network[],
): { gatewayOf: Family[]; publishes: boolean } {
  const [v4, v6] = FAMILIES.map((family) => gatewayOf(c, networks, family));
  return {
    gatewayOf: FAMILIES.filter((_, index) => [v4, v6][index] === network),
    publishes: (v4 ?? v6) === network,
  };
}

/** The attachment on whose network a running container's ports are published. */
export function publishingRecord(
  engine: EngineContext,
  c: ContainerRecord,
): AttachmentRecord | undefined {
  const networks = attachedNetworks(engine, c);
  const network = gatewayOf(c, networks, 4) ?? gatewayOf(c, networks, 6);
  return c.run?.attachments.find(({ networkId }) => networkId === network?.Id);
}

/** Those that its run is attached to, in the order of endpointNames(). */
function attachedNetworks(engine: EngineContext, c: ContainerRecord): Network[] {
  const attached = new Set(c.run?.attachments.map(({ networkId }) => networkId));
  return endpointNames(engine, c)
    .map((name) => networkNamed(engine, name))
    .filter((network): network is Network => network !== undefined && attached.has(network.Id));
}

/** Leads default routes and ports over the networks that the container has now. `before`: ports of
 * a network that it has just left, which keep their host ports. The caller records the change. */
export async function settleGateway(
  engine: EngineContext,
  c: ContainerRecord,
  before: readonly PublishedPort[] = [],
): Promise<void> {
  const { run } = c;
  if (!run) return;
  const networks = attachedNetworks(engine, c);
  const recordOf = (family: Family): AttachmentRecord | undefined => {
    const network = gatewayOf(c, networks, family);
    return run.attachments.find(({ networkId }) => networkId === network?.Id);
  };
  const gateways = { ipv4: recordOf(4), ipv6: recordOf(6) };
  await engine.network.setGateways(gateways, run.pid);
  await movePorts(engine, c, gateways.ipv4 ?? gateways.ipv6, before);
}

async function movePorts(
  engine: EngineContext,
  c: ContainerRecord,
  target: AttachmentRecord | undefined,
  before: readonly PublishedPort[],
): Promise<void> {
  const containerName = c.name;
  const attachments = c.run?.attachments ?? [];
  const others = attachments.filter((one) => one !== target && one.ports.length > 0);
  const driver = engine.network.describe().find(({ Id }) => Id === target?.networkId)?.Driver;
  const takes = target !== undefined && driver === "bridge" && target.ports.length === 0;
  const had = [...before, ...others.flatMap(({ ports }) => ports)];
  const add = takes ? again(publishRequests(c.config, c.hostConfig), had) : [];
  for (const record of others) {
    const ports = record.ports;
    await engine.network.republish(record, { add: [], remove: ports, containerName });
    if (takes) continue;
    engine.log.info("Ports are no longer published: the network of the default route has none", {
      container: c.id,
      ports: ports.length,
    });
  }
  if (add.length > 0) {
    await engine.network.republish(target!, { add, remove: [], containerName });
  }
}

/** The requests, where they named no port or a range with the port that they got before. */
export function again(
  requests: readonly PublishRequest[],
  had: readonly PublishedPort[],
): PublishRequest[] {
  const left = [...had];
  return requests.map((request) => {
    const at = left.findIndex(
      ({ containerPort, protocol, hostIp, hostPort }) =>
        containerPort === request.containerPort &&
        protocol === request.protocol &&
        (request.hostIp === "" || request.hostIp === hostIp) &&
        (request.hostPort === 0 ||
          (hostPort >= request.hostPort && hostPort <= request.hostPortEnd)),
    );
    const [port] = at < 0 ? [] : left.splice(at, 1);
    if (!port) return request;
    // The same host port of the other family belongs to the same request.
    const twin = left.findIndex(
      (one) => one.hostPort === port.hostPort && one.protocol === port.protocol,
    );
    if (twin >= 0 && request.hostIp === "") left.splice(twin, 1);
    return { ...request, hostPort: port.hostPort, hostPortEnd: port.hostPort };
  });
}
