// The addresses of one endpoint: those that were asked for, those of its run before, or the lowest
// free ones. An address is leased, durably, before anything is made with it.

import { GantryError } from "../base/index.ts";
import type { EndpointSettings } from "../spec/index.ts";
import { contains, type Family, macOfAddress, parseAddress, parseSubnet } from "./addresses.ts";
import type { AttachmentRecord } from "./contract.ts";
import type { Ipam } from "./ipam.ts";
import { type NetworkRecord, newBridgeMac } from "./network-record.ts";

export type LeasedAddresses = Pick<AttachmentRecord, "ipv4" | "ipv6">;

const FAMILIES: readonly Family[] = [4, 6];

/** Throws invalid, conflict or exhausted in docker's words; nothing is leased then. */
export function leaseAddresses(
  ipam: Ipam,
  network: NetworkRecord,
  endpoint: { id: string; link: string },
  { settings, prefer = [] }: { settings: EndpointSettings; prefer?: readonly string[] },
): LeasedAddresses {
  const { IPv4Address, IPv6Address } = settings.IPAMConfig ?? {};
  checkAddresses(network, settings);
  const leases: LeasedAddresses = {};
  try {
    for (const family of FAMILIES) {
      const wanted = (family === 4 ? IPv4Address : IPv6Address) || undefined;
      const before = prefer.find((address) => parseAddress(address)?.family === family);
      const lease =
        wanted === undefined && before !== undefined
          ? ipam.leaseAgain(network.id, family, endpoint, before)
          : ipam.lease(network.id, family, endpoint, wanted);
      if (lease) leases[`ipv${family}`] = { ...lease, gateway: gatewayFor(network, lease.address) };
    }
  } catch (error) {
    releaseAddresses(ipam, network.id, endpoint.id, leases);
    throw error;
  }
  return leases;
}

/** An address may be held by an interface that is just going: a container that restarts is its own
 * predecessor. `leaving` are those that go. */
export async function leaseOnceFree(
  ipam: Ipam,
  network: NetworkRecord,
  endpoint: { id: string; link: string },
  request: Parameters<typeof leaseAddresses>[3],
  leaving: ReadonlySet<Promise<void>>,
): Promise<LeasedAddresses> {
  // It is likely to be its own predecessor whose address it wants again.
  if (request.prefer?.length && leaving.size > 0) await Promise.all(leaving);
  try {
    return leaseAddresses(ipam, network, endpoint, request);
  } catch (error) {
    const mayPass = error instanceof GantryError && /conflict|exhausted/.test(error.kind);
    if (!mayPass || leaving.size === 0) throw error;
    await Promise.all(leaving);
    return leaseAddresses(ipam, network, endpoint, request);
  }
}

/** By address, so that whoever gets one again gets its MAC again too; else locally administered. */
export const newMac = ({ ipv4 }: LeasedAddresses): string =>
  ipv4 ? macOfAddress(ipv4.address) : newBridgeMac();

export function releaseAddresses(
  ipam: Ipam,
  networkId: string,
  endpointId: string,
  { ipv4, ipv6 }: LeasedAddresses,
): void {
  for (const ip of [ipv4, ipv6]) if (ip) ipam.release(networkId, ip.address, endpointId);
}

/** Throws invalid where the network cannot give what the settings ask for. */
export function checkAddresses(network: NetworkRecord, settings: EndpointSettings): void {
  const { IPv4Address, IPv6Address } = settings.IPAMConfig ?? {};
  if (IPv4Address) checkStatic(network, 4, IPv4Address);
  if (IPv6Address) checkStatic(network, 6, IPv6Address);
}

/** A subnet that was chosen for the network may be another one after it is made again, so only
 * what a user configured gives addresses that are asked for. */
function checkStatic(network: NetworkRecord, family: Family, wanted: string): void {
  const problem = (why: string): never => {
    throw new GantryError("invalid", `invalid endpoint settings:\n${why}`);
  };
  const { name } = network;
  if (name === "bridge") {
    problem("user specified IP address is supported on user defined networks only");
  }
  const parsed = parseAddress(wanted);
  if (parsed?.family !== family) problem(`invalid IPv${family} address: ${wanted}`);
  const subnets = network.pools
    .filter(({ automatic }) => !automatic)
    .map(({ subnet }) => parseSubnet(subnet))
    .filter((subnet) => subnet.family === family);
  if (subnets.length === 0) {
    problem(
      "user specified IP address is supported only when connecting to networks with user " +
        "configured subnets",
    );
  }
  if (subnets.some((subnet) => contains(subnet, family, parsed!.value))) return;
  problem(`no configured subnet or ip-range contain the IP address ${wanted}`);
}

/** A network may have several subnets of a family, each with a gateway. */
export function gatewayFor(network: NetworkRecord, address: string): string {
  const { family, value } = parseAddress(address)!;
  const pool = network.pools.find(({ subnet }) => contains(parseSubnet(subnet), family, value));
  return pool?.gateway ?? "";
}
