// What the kernel says of the interfaces in the network namespace of a process, now: for
// `explain`, which compares it with what was asked for.

import type { Native, Operation } from "../native/index.ts";
import {
  dumpAddresses,
  dumpLinks,
  dumpRoutes,
  readAddresses,
  readLinks,
  readRoutes,
} from "./rtnetlink-dumps.ts";
import { NETLINK_ROUTE } from "./rtnetlink-numbers.ts";

export interface InterfaceSeen {
  name: string;
  up: boolean;
  mac: string;
  mtu: number;
  kind: string;
  addresses: string[]; // "172.17.0.2/16"
}
export interface NetworkSeen {
  interfaces: InterfaceSeen[];
  /** "172.17.0.1" for each family that has a default route. */
  gateways: string[];
}

const NETNS = 0;

export async function lookInside(native: Native, pid: number): Promise<NetworkSeen> {
  const ask = (data: Uint8Array): Operation => ({
    op: "netlink",
    protocol: NETLINK_ROUTE,
    data,
    netns: NETNS,
  });
  const results = await native.run({
    host: [
      { op: "open", path: `/proc/${pid}/ns/net`, flags: 0, to: NETNS },
      ask(dumpLinks()),
      ask(dumpAddresses()),
      ask(dumpRoutes()),
    ],
  });
  const bytes = (index: number) => (results.has(index) ? results.bytes(index) : new Uint8Array());
  const addresses = readAddresses(bytes(2));
  return {
    interfaces: readLinks(bytes(1)).map(({ index, name, up, mac, mtu, kind }) => ({
      name,
      up,
      mac,
      mtu,
      kind,
      addresses: addresses
        .filter((one) => one.index === index)
        .map(({ address, prefix }) => `${address}/${prefix}`),
    })),
    gateways: readRoutes(bytes(3)).flatMap(({ prefix, gateway }) =>
      prefix === 0 && gateway ? [gateway] : [],
    ),
  };
}
