// The section about the network: bridge, pool, pair of interfaces, ports, names. Pure.

import type { EndpointFacts, ExplainFacts } from "../contract.ts";
import { type Line, line, note } from "./sections.ts";

export function networkLines({ network, plan, live }: ExplainFacts): Line[] {
  const { mode, endpoints } = network;
  const own = plan.namespaces.find(({ type }) => type === "network");
  if (own?.is === "host") {
    return [line("mode", "host: the host's own interfaces; ports are the host's")];
  }
  if (own?.is === "joined") return [line("mode", `${mode}: that container's interfaces`)];
  if (endpoints.length === 0) return [line("mode", "none: the loopback interface only")];
  const { route, firewall } = network.messages;
  return [
    line("mode", mode),
    ...endpoints.flatMap((endpoint) => endpointLines(endpoint)),
    line("names", namesText(network)),
    ...(route + firewall > 0
      ? [line("messages", `${route} to rtnetlink, ${firewall} to nftables`)]
      : []),
    ...(live?.network.interfaces ?? []).map(({ name, up, mac, mtu, addresses }) =>
      note(`now ${name}`, `${up ? "up" : "down"}, ${mac}, mtu ${mtu}, ${addresses.join(" ")}`),
    ),
    ...(live?.firewall ?? [])
      .filter(({ verdict }) => verdict !== "bad")
      .map(({ about, says }) => note(`now ${about}`, says)),
  ];
}

function namesText({ resolver, nameServers }: ExplainFacts["network"]): string {
  const asks = nameServers.join(", ") || "nobody";
  return resolver ? `resolver at 127.0.0.11, which asks ${asks}` : `asks ${asks}`;
}

function endpointLines(endpoint: EndpointFacts): Line[] {
  const { network, driver, bridge, subnets, internal, interfaceName, hostInterface } = endpoint;
  const on = bridge ? `${driver} ${bridge}` : driver;
  const lines = [
    line(
      `network ${network}`,
      `${on}, addresses from ${subnets.join(" and ") || "nowhere"}${internal ? ", internal" : ""}`,
    ),
    line(
      `interface ${interfaceName}`,
      `${hostInterface ? `veth pair with ${hostInterface}, ` : ""}${endpoint.mac}, ` +
        `${endpoint.addresses.join(" ") || "no address"}`,
    ),
  ];
  if (endpoint.gateways.length > 0) {
    lines.push(line("gateway", endpoint.gateways.join(" ")));
  }
  for (const { hostIp, hostPort, containerPort, protocol, count = 1 } of endpoint.ports) {
    const range = (first: number) => (count > 1 ? `${first}-${first + count - 1}` : String(first));
    const at = `${hostIp || "every address"} port ${hostPort === 0 ? "any" : range(hostPort)}`;
    lines.push(
      line(
        `port ${range(containerPort)}/${protocol}`,
        `held by the port holder at ${at}; an nftables element sends it to the container`,
      ),
    );
  }
  if (endpoint.names.length > 0) lines.push(line("called", endpoint.names.join(" ")));
  return lines;
}
