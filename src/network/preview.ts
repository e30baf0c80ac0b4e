// What an endpoint would be if it were made now, for `explain`: nothing is leased or bound, and
// whoever starts meanwhile may get the address first.

import { formatMac, macBytes } from "./addresses.ts";
import type { AttachmentRecord, NetworkLayer, PublishedPort, PublishRequest } from "./contract.ts";
import { driverOf } from "./driver.ts";
import { checkAddresses, gatewayFor, newMac } from "./endpoint-lease.ts";
import { endpointOptions } from "./endpoint-options.ts";
import { exposureOf } from "./endpoint-rules.ts";
import type { Ipam } from "./ipam.ts";
import type { NetworkRecord } from "./network-record.ts";

type AttachRequest = Parameters<NetworkLayer["attach"]>[0];

/** Stands for the random part of names. */
const UNKNOWN_LINK = "veth*";
const UNKNOWN_ENDPOINT = "0".repeat(64);

export function previewEndpoint(
  ipam: Ipam,
  network: NetworkRecord,
  request: AttachRequest,
  exposure: Parameters<typeof exposureOf>[1],
): AttachmentRecord {
  const { settings } = request;
  const own = endpointOptions(settings);
  checkAddresses(network, settings);
  const address = (family: 4 | 6, wanted: string | undefined) => {
    const found = ipam.peek(network.id, family, wanted || undefined);
    return found && { ...found, gateway: gatewayFor(network, found.address) };
  };
  const ipv4 = address(4, settings.IPAMConfig?.IPv4Address);
  const ipv6 = address(6, settings.IPAMConfig?.IPv6Address);
  const mac = request.macAddress || settings.MacAddress;
  const publishes = driverOf(network).publishes;
  return {
    networkId: network.id,
    endpointId: UNKNOWN_ENDPOINT,
    interfaceName: request.interfaceName ?? "eth0",
    hostInterface: network.bridge ? UNKNOWN_LINK : "",
    macAddress: mac ? formatMac(macBytes(mac)) : newMac(ipv4 ? { ipv4 } : {}),
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
    ...(own.linkLocal.length > 0 && { linkLocal: own.linkLocal }),
    ports: publishes ? request.publish.map(askedPort) : [],
    ...exposureOf(network, exposure),
    ...(request.dns && { dns: request.dns }),
  };
}

const askedPort = ({
  containerPort,
  protocol,
  hostIp,
  hostPort,
}: PublishRequest): PublishedPort => ({ containerPort, protocol, hostIp, hostPort });
