// EndpointSettings as dockerd shows them in container inspect and list.

import type { ApiVersion } from "../../protocol/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";

export function renderEndpoint(endpoint: EndpointSettings, version: ApiVersion): EndpointSettings {
  return {
    IPAMConfig: endpoint.IPAMConfig ?? null,
    Links: endpoint.Links ?? null,
    Aliases: endpoint.Aliases ?? null,
    MacAddress: endpoint.MacAddress ?? "",
    DriverOpts: endpoint.DriverOpts ?? null,
    ...(version.atLeast("1.48") ? { GwPriority: endpoint.GwPriority ?? 0 } : {}),
    NetworkID: endpoint.NetworkID ?? "",
    EndpointID: endpoint.EndpointID ?? "",
    Gateway: endpoint.Gateway ?? "",
    IPAddress: endpoint.IPAddress ?? "",
    IPPrefixLen: endpoint.IPPrefixLen ?? 0,
    IPv6Gateway: endpoint.IPv6Gateway ?? "",
    GlobalIPv6Address: endpoint.GlobalIPv6Address ?? "",
    GlobalIPv6PrefixLen: endpoint.GlobalIPv6PrefixLen ?? 0,
    ...(version.atLeast("1.44") ? { DNSNames: endpoint.DNSNames ?? null } : {}),
  };
}
