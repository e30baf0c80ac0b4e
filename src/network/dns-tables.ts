// Who is called what on which network. Several endpoints may share a name (services, aliases): an
// answer lists all of them. Pure bookkeeping; every change says what the resolver is to be told.

import type { AttachmentRecord } from "./contract.ts";

/** As many as a client makes use of, and few enough for one line to the resolver. */
const ADDRESSES_MAX = 256;

/** Lines for the resolver's control socket (native/resolver.c). */
export type ResolverLine = string;

interface Zone {
  /** Name → endpoint → its addresses. */
  names: Map<string, Map<string, string[]>>;
  pointers: Map<string, string>; // address → name
}

export class DnsTables {
  readonly #zones = new Map<string, Zone>();

  /** Names of one endpoint come into being. */
  publish(record: AttachmentRecord): ResolverLine[] {
    if (!record.dns) return [];
    const zone = this.#zone(record.networkId);
    const addresses = addressesOf(record);
    for (const name of namesOf(record)) {
      const owners = zone.names.get(name) ?? new Map<string, string[]>();
      zone.names.set(name, owners.set(record.endpointId, addresses));
    }
    for (const address of addresses) zone.pointers.set(address, record.dns.pointer);
    return [
      ...namesOf(record).map((name) => this.#setLine(record.networkId, name)),
      ...addresses.map((ip) => `pointer ${record.networkId} ${ip} ${record.dns!.pointer}`),
    ];
  }

  /** Takes them back, those of others with the same names stay. */
  withdraw(record: AttachmentRecord): ResolverLine[] {
    const zone = this.#zones.get(record.networkId);
    if (!zone || !record.dns) return [];
    const lines: ResolverLine[] = [];
    for (const name of namesOf(record)) {
      const owners = zone.names.get(name);
      if (!owners?.delete(record.endpointId)) continue;
      lines.push(this.#setLine(record.networkId, name));
      if (owners.size === 0) zone.names.delete(name);
    }
    for (const address of addressesOf(record)) {
      if (zone.pointers.delete(address)) lines.push(`pointer ${record.networkId} ${address} -`);
    }
    if (zone.names.size === 0 && zone.pointers.size === 0) this.#zones.delete(record.networkId);
    return lines;
  }

  /** All of it, for a resolver that knows nothing. */
  everything(): ResolverLine[] {
    return [...this.#zones].flatMap(([id, zone]) => [
      ...[...zone.names.keys()].map((name) => this.#setLine(id, name)),
      ...[...zone.pointers].map(([ip, name]) => `pointer ${id} ${ip} ${name}`),
    ]);
  }

  clear(): void {
    this.#zones.clear();
  }

  #zone(id: string): Zone {
    const known = this.#zones.get(id);
    if (known) return known;
    const made: Zone = { names: new Map(), pointers: new Map() };
    this.#zones.set(id, made);
    return made;
  }

  #setLine(zoneId: string, name: string): ResolverLine {
    const owners = this.#zones.get(zoneId)?.names.get(name);
    const addresses = owners ? [...new Set([...owners.values()].flat())] : [];
    const said = addresses.slice(0, ADDRESSES_MAX).join(",");
    return `set ${zoneId} ${name} ${said || "-"}`;
  }
}

/** As a question is compared: DNS does not tell letters' cases apart, nor the root's dot. */
export const foldName = (name: string): string => name.toLowerCase().replace(/\.$/, "");

const namesOf = ({ dns }: AttachmentRecord): string[] => [
  ...new Set(dns?.names.map(foldName).filter((name) => name !== "")),
];

const addressesOf = ({ ipv4, ipv6 }: AttachmentRecord): string[] =>
  [ipv4, ipv6].flatMap((ip) => (ip ? [ip.address] : []));
