// The verbs of networks: thin over the network layer, which keeps the records, with docker's
// events, and with the containers that are attached to each.

import { GantryError } from "../../base/index.ts";
import { announceNetwork } from "../containers/announce.ts";
import { isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Network, Networks } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { connectContainer, disconnectContainer } from "./connect.ts";
import { explainPort } from "./explain.ts";
import { isPredefined, isUsed, matchesNetwork } from "./filter.ts";
import { identity, requireNetwork } from "./find.ts";
import { refusePlugins } from "./network-plugins.ts";

export function networkVerbs(engine: EngineContext): Networks {
  return {
    async list(filters: Filters = new Map()) {
      return engine.network
        .describe()
        .filter((network) => matchesNetwork(engine, network, filters))
        .map((network) => render(engine, network));
    },

    async inspect(ref) {
      return render(engine, requireNetwork(engine, ref));
    },

    async create(request) {
      await refusePlugins(engine, request);
      const { id, warnings } = await engine.network.createNetwork(request);
      announceNetwork(engine, "create", identity(requireNetwork(engine, id)));
      return { id, warnings };
    },

    async remove(ref) {
      await removeNetwork(engine, requireNetwork(engine, ref));
    },

    async connect(ref, container, settings = {}) {
      await connectContainer(engine, ref, container, settings);
    },

    async disconnect(ref, container, { force = false } = {}) {
      await disconnectContainer(engine, ref, container, { force });
    },

    explain: (container, port) => explainPort(engine, container, port),

    async prune(filters = new Map()) {
      return pruneNetworks(engine, filters);
    },
  };
}

async function removeNetwork(engine: EngineContext, network: Network): Promise<void> {
  const active = endpointsOf(engine, network);
  if (active.length > 0 && !isPredefined(network)) {
    const names = active.map(({ c, record }) => `name:"${c.name}" id:"${shortId(record)}"`);
    throw new GantryError(
      "forbidden",
      `error while removing network: network ${network.Name} has active endpoints ` +
        `(${names.join(", ")})`,
    );
  }
  await engine.network.removeNetwork(network.Id);
  announceNetwork(engine, "destroy", identity(network));
}

async function pruneNetworks(
  engine: EngineContext,
  filters: Filters,
): Promise<{ deleted: string[] }> {
  const wanted = parsePruneFilters(filters, []);
  const deleted: string[] = [];
  for (const network of engine.network.describe()) {
    if (isPredefined(network) || isUsed(engine, network)) continue;
    const labels = network["Labels"] as Record<string, string>;
    if (!passesPrune(wanted, { created: String(network["Created"]), labels })) continue;
    try {
      await removeNetwork(engine, network);
    } catch (error) {
      engine.log.warn("Failed to prune a network", { id: network.Id, error });
      continue;
    }
    deleted.push(network.Name);
  }
  engine.bus.publish("network", "prune", "", { reclaimed: "0" });
  return { deleted };
}

const shortId = ({ endpointId }: { endpointId: string }): string => endpointId.slice(0, 12);

function endpointsOf(engine: EngineContext, { Id }: Network) {
  return engine.containers.all().flatMap((c) => {
    const record = c.run?.attachments.find(({ networkId }) => networkId === Id);
    return record ? [{ c, record }] : [];
  });
}

function render(engine: EngineContext, network: Network): Network {
  const containers: Record<string, unknown> = {};
  for (const c of engine.containers.all()) {
    if (!isRunning(c) || !(network.Name in c.endpoints)) continue;
    const record = c.run?.attachments.find((a) => a.networkId === network.Id);
    containers[c.id] = {
      Name: c.name,
      EndpointID: record?.endpointId ?? "",
      MacAddress: record?.macAddress ?? "",
      IPv4Address: record?.ipv4 ? `${record.ipv4.address}/${record.ipv4.prefix}` : "",
      IPv6Address: record?.ipv6 ? `${record.ipv6.address}/${record.ipv6.prefix}` : "",
    };
  }
  return { ...network, Containers: containers, Status: statusOf(engine, network) };
}

/** How full its subnets are, for API 1.52 and later. */
function statusOf(engine: EngineContext, { Id }: Network): Record<string, unknown> {
  const Subnets = Object.fromEntries(
    engine.network
      .usage(Id)
      .map(({ subnet, used, available }) => [
        subnet,
        { IPsInUse: atMost64(used), DynamicIPsAvailable: atMost64(available) },
      ]),
  );
  return { IPAM: { Subnets } };
}

/** A number that JSON's readers take: an IPv6 subnet has more addresses than they can count. */
const atMost64 = (count: bigint): number =>
  Number(count > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : count);
