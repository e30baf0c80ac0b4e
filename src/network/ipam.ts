// Address allocation. An address is leased to an endpoint by a durable record before anything is
// made with it, and the record goes only when the endpoint is gone, so no address is ever handed
// out twice, whatever crashed in between. The lowest free address is taken, as Docker does.

import { GantryError } from "../base/index.ts";
import {
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  lastOf,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
  sizeOf,
  subnetOf,
} from "./addresses.ts";

/** What this layer needs of storage's durable records. */
export interface Collection<T> {
  get(key: string): T | undefined;
  put(key: string, value: T): void;
  delete(key: string): void;
  all(): [key: string, value: T][];
}

/** One subnet of a network, as inspect shows it (IPAM.Config). */
export interface PoolConfig {
  subnet: string;
  gateway: string;
  /** Only addresses of this part are handed out. */
  range?: string;
  /** Name → address that is never handed out. */
  auxiliary?: Record<string, string>;
  /** Chosen for the network: nobody may count on it. */
  automatic?: true;
  /** As dockerd's, a network whose subnet was given shows a gateway only if that was given, too. */
  gatewayHidden?: true;
  /** The bridge's own address where it is not the gateway (--default-gateway); "": it has none. */
  bridgeAddress?: string;
}

/** The free and used addresses of one subnet. Pure bookkeeping. */
export class AddressPool {
  readonly subnet: Subnet;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #used = new Set<bigint>();
  #lowestFree: bigint;

  constructor(config: PoolConfig) {
    this.subnet = parseSubnet(config.subnet);
    const { family, base, prefix } = this.subnet;
    const range = config.range ? parseSubnet(config.range) : this.subnet;
    if (!contains(this.subnet, range.family, range.base) || range.prefix < prefix) {
      throw new GantryError(
        "invalid",
        `invalid ip-range ${config.range}: it is not within subnet ${config.subnet}`,
      );
    }
    this.#first = range.base;
    this.#last = lastOf(range);
    this.#lowestFree = this.#first;
    const hostBits = (family === 4 ? 32 : 128) - prefix;
    // The subnet's own address (IPv6: the routers' anycast) and IPv4's broadcast are no hosts'.
    if (hostBits > 1) {
      this.#used.add(base);
      if (family === 4) this.#used.add(lastOf(this.subnet));
    }
    const reserved = [
      config.gateway,
      config.bridgeAddress,
      ...Object.values(config.auxiliary ?? {}),
    ];
    for (const address of reserved) {
      if (address) this.#used.add(this.#valueOf(address));
    }
  }

  /** How many addresses cannot be had any more, and how many can be without being asked for. */
  usage(): { used: bigint; available: bigint } {
    let inRange = 0n;
    for (const value of this.#used) {
      if (value >= this.#first && value <= this.#last) inRange++;
    }
    const available = this.#last - this.#first + 1n - inRange;
    return { used: BigInt(this.#used.size), available };
  }

  /** Takes `wanted`, or the lowest free address. Throws conflict, invalid or exhausted. */
  take(wanted?: string): string {
    if (wanted !== undefined) {
      const value = this.#valueOf(wanted);
      if (this.#used.has(value)) {
        throw new GantryError("conflict", "Address already in use", {
          detail: { address: wanted },
        });
      }
      this.#used.add(value);
      return formatAddress(this.subnet.family, value);
    }
    let value = this.#lowestFree;
    while (value <= this.#last && this.#used.has(value)) value++;
    this.#lowestFree = value;
    if (value > this.#last) {
      throw new GantryError(
        "exhausted",
        `no available IPv${this.subnet.family} addresses on this network's address pools: ` +
          `${formatSubnet(this.subnet)} is full; remove containers or use a larger subnet`,
      );
    }
    this.#used.add(value);
    return formatAddress(this.subnet.family, value);
  }

  /** Marks an address as used that a record or an interface holds; true when it was free. */
  mark(address: string): boolean {
    const parsed = parseAddress(address);
    if (!parsed || !contains(this.subnet, parsed.family, parsed.value)) return false;
    if (this.#used.has(parsed.value)) return false;
    this.#used.add(parsed.value);
    return true;
  }

  free(address: string): void {
    const value = this.#valueOf(address);
    this.#used.delete(value);
    if (value >= this.#first && value < this.#lowestFree) this.#lowestFree = value;
  }

  #valueOf(address: string): bigint {
    const parsed = parseAddress(address);
    if (!parsed) throw new GantryError("invalid", `invalid IP address: ${address}`);
    if (!contains(this.subnet, parsed.family, parsed.value)) {
      throw new GantryError(
        "invalid",
        `invalid address ${address}: It does not belong to any of this network's subnets`,
      );
    }
    return parsed.value;
  }
}

export interface Lease {
  networkId: string;
  endpointId: string;
  address: string;
  /** The host's end of the endpoint, where it has one: a crash may leave it behind. */
  link?: string;
}

/** The pools of every network, with their leases on record. */
export class Ipam {
  readonly #leases: Collection<Lease>;
  readonly #pools = new Map<string, AddressPool[]>();

  constructor(leases: Collection<Lease>) {
    this.#leases = leases;
  }

  /** Opens a network's pools; leases on record are taken already. */
  open(networkId: string, configs: readonly PoolConfig[]): void {
    const pools = configs.map((config) => new AddressPool(config));
    for (const [, lease] of this.#leases.all()) {
      if (lease.networkId === networkId) for (const pool of pools) pool.mark(lease.address);
    }
    this.#pools.set(networkId, pools);
  }

  close(networkId: string): void {
    this.#pools.delete(networkId);
    for (const [key, lease] of this.#leases.all()) {
      if (lease.networkId === networkId) this.#leases.delete(key);
    }
  }

  /** Leases an address of the family; undefined when the network has no such subnet. */
  lease(
    networkId: string,
    family: Family,
    { id: endpointId, link }: { id: string; link?: string },
    wanted?: string,
  ): { address: string; prefix: number } | undefined {
    const pools = this.#poolsOf(networkId).filter(({ subnet }) => subnet.family === family);
    const parsed = wanted === undefined ? undefined : parseAddress(wanted);
    let full: unknown;
    for (const pool of pools) {
      if (parsed && !contains(pool.subnet, parsed.family, parsed.value)) continue;
      try {
        const address = pool.take(wanted);
        const lease = { networkId, endpointId, address, ...(link && { link }) };
        this.#leases.put(`${networkId}/${address}`, lease);
        return { address, prefix: pool.subnet.prefix };
      } catch (error) {
        if (!(error instanceof GantryError) || error.kind !== "exhausted") throw error;
        full = error;
      }
    }
    if (full) throw full;
    if (wanted === undefined) return undefined;
    throw new GantryError(
      "invalid",
      `invalid address ${wanted}: It does not belong to any of this network's subnets`,
    );
  }

  /** What lease() would give now; nothing is taken. */
  peek(
    networkId: string,
    family: Family,
    wanted?: string,
  ): { address: string; prefix: number } | undefined {
    const pools = this.#poolsOf(networkId).filter(({ subnet }) => subnet.family === family);
    const parsed = wanted === undefined ? undefined : parseAddress(wanted);
    for (const pool of pools) {
      if (parsed && !contains(pool.subnet, parsed.family, parsed.value)) continue;
      const { used, available } = pool.usage();
      if (wanted === undefined && available === 0n && used > 0n) continue;
      const address = pool.take(wanted);
      pool.free(address);
      return { address, prefix: pool.subnet.prefix };
    }
    return undefined;
  }

  /** The address of an earlier run where it is free, or as lease(). */
  leaseAgain(
    networkId: string,
    family: Family,
    endpoint: { id: string; link?: string },
    before: string,
  ): { address: string; prefix: number } | undefined {
    try {
      return this.lease(networkId, family, endpoint, before);
    } catch {
      // Someone else has it now, or the network has another subnet.
      return this.lease(networkId, family, endpoint);
    }
  }

  /** Never hands out addresses that the host or someone on it has; leases stay as they are. */
  avoid(addresses: readonly string[]): void {
    for (const pools of this.#pools.values()) {
      for (const pool of pools) for (const address of addresses) pool.mark(address);
    }
  }

  /** By subnet, for the inspect of newer clients. */
  usage(networkId: string): { subnet: string; used: bigint; available: bigint }[] {
    const pools = this.#pools.get(networkId) ?? [];
    return pools.map((pool) => ({ subnet: formatSubnet(pool.subnet), ...pool.usage() }));
  }

  /** Ends a lease; one that does not exist is left alone. */
  release(networkId: string, address: string, endpointId: string): void {
    const key = `${networkId}/${address}`;
    if (this.#leases.get(key)?.endpointId !== endpointId) return;
    this.#leases.delete(key);
    for (const pool of this.#pools.get(networkId) ?? []) {
      const parsed = parseAddress(address);
      if (parsed && contains(pool.subnet, parsed.family, parsed.value)) pool.free(address);
    }
  }

  /** Ends every lease whose endpoint is not alive; returns them. */
  reconcile(liveEndpoints: ReadonlySet<string>): Lease[] {
    const dead = this.#leases.all().filter(([, lease]) => !liveEndpoints.has(lease.endpointId));
    for (const [key, lease] of dead) {
      if (this.#pools.has(lease.networkId)) {
        this.release(lease.networkId, lease.address, lease.endpointId);
      } else this.#leases.delete(key);
    }
    return dead.map(([, lease]) => lease);
  }

  /** Takes a lease that a live endpoint holds but no record knows (a lost data root). */
  adopt(lease: Lease): void {
    const key = `${lease.networkId}/${lease.address}`;
    if (this.#leases.get(key)) return;
    this.#leases.put(key, lease);
    for (const pool of this.#pools.get(lease.networkId) ?? []) pool.mark(lease.address);
  }

  #poolsOf(networkId: string): AddressPool[] {
    const pools = this.#pools.get(networkId);
    if (!pools) throw new GantryError("not-found", `network ${networkId} not found`);
    return pools;
  }
}

/** As dockerd's default-address-pools: blocks to be cut into subnets of `size` bits. */
export interface AddressBlock {
  base: string;
  size: number;
}

export const DEFAULT_BLOCKS: readonly AddressBlock[] = [
  ...Array.from({ length: 15 }, (_, index) => ({ base: `172.${17 + index}.0.0/16`, size: 16 })),
  { base: "192.168.0.0/16", size: 20 },
];

/** daemon.json's pools, or docker's. */
export const blocksOf = (
  pools: readonly { Base: string; Size: number }[],
): readonly AddressBlock[] =>
  pools.length > 0 ? pools.map(({ Base, Size }) => ({ base: Base, size: Size })) : DEFAULT_BLOCKS;

/** The first subnet of the blocks that overlaps none of `taken`. Throws exhausted. */
export function chooseSubnet(
  family: Family,
  blocks: readonly AddressBlock[],
  taken: readonly Subnet[],
  explain: () => string = () => "all predefined address pools have been fully subnetted",
): Subnet {
  for (const block of blocks) {
    const whole = parseSubnet(block.base);
    if (whole.family !== family) continue;
    const step = sizeOf({ ...whole, prefix: block.size });
    let base = whole.base;
    while (base <= lastOf(whole)) {
      const subnet = subnetOf(family, base, block.size);
      const clash = taken.filter((other) => overlaps(subnet, other));
      if (clash.length === 0) return subnet;
      // Skips past whatever is in the way instead of trying each subnet in turn.
      const [end = base] = clash.map(lastOf).sort((a, b) => (a < b ? 1 : -1));
      base += step;
      if (end >= base) base += ((end - base) / step + 1n) * step;
    }
  }
  throw new GantryError("exhausted", explain());
}

/** The subnet's first host address. */
export const firstHost = (subnet: Subnet): string =>
  formatAddress(subnet.family, sizeOf(subnet) > 1n ? subnet.base + 1n : subnet.base);
