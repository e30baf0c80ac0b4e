// An endpoint as inspect shows it.

import type { AttachmentRecord } from "../../network/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";

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
