// Asks for all links, addresses and routes of a network namespace, and reads what the kernel says.

import { bytesAddress, formatMac } from "./addresses.ts";
import {
  NetlinkWriter,
  NLM_F_DUMP,
  readAttributes,
  readMessages,
  readString,
  readU32,
} from "./netlink-message.ts";
import {
  AF_INET,
  IFA,
  IFF_UP,
  IFLA,
  IFLA_IFALIAS,
  IFLA_INFO_KIND,
  RT_TABLE_MAIN,
  RTA,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTN_UNICAST,
} from "./rtnetlink-numbers.ts";

function dump(type: number, headerBytes: number): Uint8Array {
  const w = new NetlinkWriter();
  w.message(type, NLM_F_DUMP, () => w.bytes(new Uint8Array(headerBytes)));
  return w.finish().data;
}
export const dumpLinks = (): Uint8Array => dump(RTM_GETLINK, 16);
export const dumpAddresses = (): Uint8Array => dump(RTM_GETADDR, 8);
export const dumpRoutes = (): Uint8Array => dump(RTM_GETROUTE, 12);

export interface Link {
  index: number;
  name: string;
  up: boolean;
  mac: string;
  mtu: number;
  master: number; // 0: none
  kind: string; // "bridge", "veth", "" for hardware
  alias: string;
}

export function readLinks(answer: Uint8Array): Link[] {
  return readMessages(answer)
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(({ payload }) => {
      const attributes = readAttributes(payload, 16);
      const info = attributes.get(IFLA.LINKINFO);
      return {
        index: readU32(payload.subarray(4)),
        name: readString(attributes.get(IFLA.IFNAME)),
        up: (readU32(payload.subarray(8)) & IFF_UP) !== 0,
        mac: formatMac(attributes.get(IFLA.ADDRESS) ?? new Uint8Array()),
        mtu: readU32(attributes.get(IFLA.MTU)),
        master: readU32(attributes.get(IFLA.MASTER)),
        kind: info ? readString(readAttributes(info).get(IFLA_INFO_KIND)) : "",
        alias: readString(attributes.get(IFLA_IFALIAS)),
      };
    });
}

export interface LinkAddress {
  index: number;
  address: string;
  prefix: number;
}

export function readAddresses(answer: Uint8Array): LinkAddress[] {
  return readMessages(answer)
    .filter(({ type }) => type === RTM_NEWADDR)
    .flatMap(({ payload }) => {
      const attributes = readAttributes(payload, 8);
      const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
      if (!bytes) return [];
      return [
        { index: readU32(payload.subarray(4)), address: bytesAddress(bytes), prefix: payload[1]! },
      ];
    });
}

export interface Route {
  family: 4 | 6;
  address: string;
  prefix: number;
  link: number;
  gateway: string;
}

/** Unicast routes of the main table. */
export function readRoutes(answer: Uint8Array): Route[] {
  return readMessages(answer)
    .filter(({ type, payload }) => type === RTM_NEWROUTE && payload[7] === RTN_UNICAST)
    .flatMap(({ payload }) => {
      const attributes = readAttributes(payload, 12);
      const table = attributes.has(RTA.TABLE) ? readU32(attributes.get(RTA.TABLE)) : payload[4];
      if (table !== RT_TABLE_MAIN) return [];
      const family: 4 | 6 = payload[0] === AF_INET ? 4 : 6;
      const gateway = attributes.get(RTA.GATEWAY);
      return [
        {
          family,
          address: bytesAddress(attributes.get(RTA.DST) ?? new Uint8Array(family === 4 ? 4 : 16)),
          prefix: payload[1]!,
          link: readU32(attributes.get(RTA.OIF)),
          gateway: gateway ? bytesAddress(gateway) : "",
        },
      ];
    });
}
