// The verbs of networks: thin over the network layer, which keeps the records, with docker's
// events, and with the containers that are attached to each.

import { GantryError } from "../../base/index.ts";
import { announceNetwork } from "../containers/announce.ts";
import { identity } from "../containers/networking.ts";
import { isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Network, Networks } from "../contract.ts";
import { parsePruneFilters, passesPrune } from "../prune-filters.ts";
import { connectContainer, disconnectContainer } from "./connect.ts";
import { isPredefined, isUsed, matchesNetwork } from "./filter.ts";
import { requireNetwork } from "./find.ts";

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
      const ipamDriver = request.IPAM?.Driver || "default";
      if (ipamDriver !== "default") {
        throw new GantryError("invalid", `invalid ipam driver: plugin "${ipamDriver}" not found`);
      }
      const { id } = await engine.network.createNetwork(request);
      announceNetwork(engine, "create", identity(requireNetwork(engine, id)));
      return { id };
    },

    async remove(ref) {
      await removeNetwork(engine, requireNetwork(engine, ref));
    },

    async connect(ref, container, settings = {}) {
      await connectContainer(engine, ref, container, settings);
    },

    async disconnect(ref, container) {
      await disconnectContainer(engine, ref, container);
    },

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
  return { ...network, Containers: containers };
}
