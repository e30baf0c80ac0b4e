// A new network namespace has its loopback interface down; every container expects it up. One
// RTM_NEWLINK message, the same whatever network the container gets.

import type { Operation } from "../native/index.ts";

const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const IFF_UP = 1;
/** The loopback interface is the first of every namespace. */
const LOOPBACK_INDEX = 1;

/** Sets the loopback interface of the caller's network namespace up. */
export function loopbackUp(): Operation {
  const message = new DataView(new ArrayBuffer(32));
  message.setUint32(0, 32, true); // nlmsghdr: length, type, flags, sequence, port
  message.setUint16(4, RTM_NEWLINK, true);
  message.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true);
  message.setUint32(8, 1, true);
  // ifinfomsg: family, pad, type, index, flags, change
  message.setInt32(20, LOOPBACK_INDEX, true);
  message.setUint32(24, IFF_UP, true);
  message.setUint32(28, IFF_UP, true);
  return { op: "netlink", protocol: NETLINK_ROUTE, data: new Uint8Array(message.buffer) };
}
