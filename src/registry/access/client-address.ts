// The client's address behind proxies. X-Forwarded-For is anybody's to write, so it is read from
// its end, and only as far as those who wrote it are trusted.

import { BlockList, isIP, isIPv4 } from "node:net";
import { GantryError } from "../../base/index.ts";

const hopsMax = 32;

export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #any: boolean;

  /** Addresses and networks in CIDR form. Throws GantryError invalid. */
  constructor(networks: readonly string[]) {
    this.#any = networks.length > 0;
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      const family = isIP(address);
      const width = family === 4 ? 32 : 128;
      const prefix = bits === undefined ? width : Number(bits);
      if (!family || !/^\d*$/.test(bits ?? "") || bits === "" || prefix > width) {
        throw new GantryError("invalid", `"${network}" is not an address or a network`);
      }
      this.#list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
    }
  }

  /** Whether this peer's X-Forwarded-* headers are to be believed. */
  trusts(peerAddress: string): boolean {
    if (!this.#any) return false;
    const address = plainAddress(peerAddress);
    if (!isIP(address)) return false;
    return this.#list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
  }

  /** The nearest address that is no trusted proxy. */
  clientAddress(peerAddress: string, forwardedFor: string | undefined): string {
    let client = plainAddress(peerAddress);
    if (forwardedFor === undefined) return client;
    const hops = forwardedFor.slice(-4096).split(",").slice(-hopsMax);
    while (this.trusts(client)) {
      const hop = plainAddress(hops.pop()?.trim() ?? "");
      if (!isIP(hop)) break; // what a trusted proxy did not understand, we do not either
      client = hop;
    }
    return client;
  }
}

/** Without brackets, port, zone, and the IPv6 form of an IPv4 address. */
function plainAddress(text: string): string {
  let address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text;
  if (/^\d+\.\d+\.\d+\.\d+:\d+$/.test(address)) address = address.slice(0, address.indexOf(":"));
  address = address.replace(/%.*$/, "");
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
