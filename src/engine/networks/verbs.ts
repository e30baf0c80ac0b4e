// The predefined networks, with the containers that are attached to each.

import { GantryError } from "../../base/index.ts";
import { isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Filters, Network, Networks } from "../contract.ts";

export function networkVerbs(engine: EngineContext): Networks {
  return {
    async list(filters: Filters = new Map()) {
      return engine.network
        .describe()
        .filter((network) => matches(network, filters))
        .map((network) => render(engine, network));
    },
    async inspect(ref) {
      const all = engine.network.describe();
      const found =
        all.find((network) => network.Id === ref || network.Name === ref) ??
        all.find((network) => /^[0-9a-f]+$/.test(ref) && network.Id.startsWith(ref));
      if (!found) throw new GantryError("not-found", `network ${ref} not found`);
      return render(engine, found);
    },
  };
}

function render(engine: EngineContext, network: Network): Network {
  const containers: Record<string, unknown> = {};
  for (const c of engine.containers.all()) {
    if (!isRunning(c) || !Object.hasOwn(c.endpoints, network.Name)) continue;
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

function matches(network: Network, filters: Filters): boolean {
  for (const [key, values] of filters) {
    const test = (value: string): boolean => {
      switch (key) {
        case "driver":
          return network.Driver === value;
        case "id":
          return network.Id.startsWith(value);
        case "name":
          return network.Name.includes(value);
        case "type":
          return value === "builtin";
        case "scope":
          return value === "local";
        case "dangling":
          return value === "false" || value === "0";
        case "label":
          return false;
        default:
          throw new GantryError("invalid", `invalid filter '${key}'`);
      }
    };
    if (values.length > 0 && !values.some(test)) return false;
  }
  return true;
}
