// What makes 127.0.0.11 answer inside a container's network namespace: sockets handed to the
// resolver, and rules that lead port 53 to them. The sockets are not on port 53 itself, so that a
// container may run a name server of its own on 0.0.0.0:53. The rules change ports both ways
// without tracking a connection: at tens of thousands of questions a second a table of connections
// would fill up.

import type { Operation } from "../native/index.ts";
import { addressBytes } from "./addresses.ts";
import {
  compare,
  type Expression,
  loadMeta,
  loadPayload,
  loadValue,
  NETLINK_NETFILTER,
  NftBatch,
  portBytes,
  storeTransport,
} from "./nftables.ts";

export const RESOLVER_ADDRESS = "127.0.0.11";
const DNS_PORT = 53;
/** Above the ephemeral ports, so that no outgoing connection of the container is given it. */
const OWN_PORT = 65_053;
const TABLE = "gantry_dns";
const PRIORITY_RAW = -300;
const NFPROTO_IPV4 = Uint8Array.of(2);
/** Where the IPv4 header has its addresses, the transport header its ports and checksum. */
const SOURCE = { address: 12, port: 0 };
const DESTINATION = { address: 16, port: 2 };
const TRANSPORTS = [
  { protocol: 17, checksum: 6 },
  { protocol: 6, checksum: 16 },
];
const EEXIST = 17;
const UDP_SOCKETS = 4;
const TCP_SOCKETS = 4;

/** Operations for a namespace in slot `netns`; `redirect` is false where nftables is unusable. */
export function planSandbox(o: {
  key: string;
  path: string;
  netns: number;
  redirect: boolean;
  /** The container's init where it runs already: the resolver lets go when it ends. */
  pid?: number | undefined;
}): Operation[] {
  const plan: Operation[] = [];
  if (o.redirect) {
    plan.push({
      op: "netlink",
      protocol: NETLINK_NETFILTER,
      ...redirection(),
      netns: o.netns,
      ignore: EEXIST,
    });
  }
  plan.push({
    op: "handSockets",
    netns: o.netns,
    ip: addressBytes(RESOLVER_ADDRESS),
    port: o.redirect ? OWN_PORT : DNS_PORT,
    udp: UDP_SOCKETS,
    tcp: TCP_SOCKETS,
    path: o.path,
    line: o.pid === undefined ? `0 open ${o.key}` : `0 open ${o.key} ${o.pid}`,
  });
  return plan;
}

/** The monitor's last word to the resolver, so that a namespace does not outlive its container
 * while the daemon is away. */
export function planCloseSandbox(o: { key: string; path: string; slot: number }): Operation[] {
  const token = new TextEncoder().encode(`0 close ${o.key}\n`);
  return [{ op: "connect", path: o.path, token, to: o.slot }];
}

/** Whole or not at all: a namespace that was opened before has it. To replace it would cost 5 ms of
 * every start, since the kernel waits for all readers of a table that is deleted. */
function redirection() {
  const batch = new NftBatch(TABLE).addTable({ exclusive: true });
  batch.addChain("output", { type: "filter", hook: "output", priority: PRIORITY_RAW });
  for (const transport of TRANSPORTS) {
    batch.addRule("output", ...change(transport, DESTINATION, DNS_PORT, OWN_PORT));
    batch.addRule("output", ...change(transport, SOURCE, OWN_PORT, DNS_PORT));
  }
  return batch.finish();
}

function change(
  { protocol, checksum }: (typeof TRANSPORTS)[number],
  end: typeof SOURCE,
  from: number,
  to: number,
): Expression[] {
  return [
    loadMeta("nfproto"),
    compare("eq", NFPROTO_IPV4),
    loadPayload("network", end.address, 4),
    compare("eq", addressBytes(RESOLVER_ADDRESS)),
    loadMeta("l4proto"),
    compare("eq", Uint8Array.of(protocol)),
    loadPayload("transport", end.port, 2),
    compare("eq", portBytes(from)),
    loadValue(portBytes(to)),
    storeTransport(end.port, 2, checksum),
  ];
}
