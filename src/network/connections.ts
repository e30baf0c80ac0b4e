// Connection tracking forgets whoever was sent to a container that is gone: a client that keeps its
// port would otherwise go on being sent there. Linux 6.10 deletes by a filter in one message; older
// kernels only list by one, and delete what is named whole. Source:
// linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c.

import type { Native, Operation } from "../native/index.ts";
import { addressBytes } from "./addresses.ts";
import { nft } from "./bridge.ts";
import type { AttachmentRecord } from "./contract.ts";
import {
  type NetlinkData,
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  readAttributes,
  readMessages,
} from "./netlink-message.ts";

const NFNL_SUBSYS_CTNETLINK = 1 << 8;
const CT = {
  new: NFNL_SUBSYS_CTNETLINK,
  get: NFNL_SUBSYS_CTNETLINK | 1,
  delete: NFNL_SUBSYS_CTNETLINK | 2,
} as const;
const CTA = { tupleOrig: 1, tupleReply: 2, id: 12, zone: 18, filter: 25 } as const;
const CTA_TUPLE_IP = 1;
const CTA_FILTER = { origFlags: 1, replyFlags: 2, ipSource: 1 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const ENOENT = 2;
/** Of struct nfgenmsg. */
const HEAD_BYTES = 4;

const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);
/** CTA_IP_V4_SRC, CTA_IP_V6_SRC. */
const sourceOf = (address: Uint8Array): number => (address.length === 4 ? 1 : 3);

const head = (w: NetlinkWriter, family: number): NetlinkWriter => w.u8(family).u8(0).u16be(0);

/** What is answered by `address` (4 or 16 bytes). */
function select(w: NetlinkWriter, address: Uint8Array): void {
  head(w, familyOf(address));
  w.nest(CTA.tupleReply, () => w.nest(CTA_TUPLE_IP, () => w.attrBytes(sourceOf(address), address)));
  w.nest(CTA.filter, () =>
    w.attrU32(CTA_FILTER.origFlags, 0).attrU32(CTA_FILTER.replyFlags, CTA_FILTER.ipSource),
  );
}

/** Deletes them in one message; refused before Linux 6.10. */
export function flushConnections(address: Uint8Array): NetlinkData {
  const w = new NetlinkWriter();
  w.message(CT.delete, NLM_F_ACK, () => select(w, address));
  return w.finish();
}

function listConnections(address: Uint8Array): NetlinkData {
  const w = new NetlinkWriter();
  w.message(CT.get, NLM_F_DUMP, () => select(w, address));
  return w.finish();
}

/** Deletes, one by one, those of a listing that `address` answers; undefined where there are none.
 * A message each, named by what the kernel said of it: of another that has taken its place since,
 * the id is not the same. */
export function deleteConnections(
  listing: Uint8Array,
  address: Uint8Array,
): NetlinkData | undefined {
  const w = new NetlinkWriter();
  let isEmpty = true;
  for (const { type, payload } of readMessages(listing)) {
    if (type !== CT.new) continue;
    const found = readAttributes(payload, HEAD_BYTES);
    const [original, reply] = [found.get(CTA.tupleOrig), found.get(CTA.tupleReply)];
    if (!original || !reply || !isFrom(reply, address)) continue;
    isEmpty = false;
    w.message(CT.delete, NLM_F_ACK, () => {
      head(w, familyOf(address)).nest(CTA.tupleOrig, () => w.bytes(original));
      for (const attribute of [CTA.id, CTA.zone]) {
        const value = found.get(attribute);
        if (value) w.attrBytes(attribute, value);
      }
    });
  }
  return isEmpty ? undefined : w.finish();
}

function isFrom(tuple: Uint8Array, address: Uint8Array): boolean {
  const ip = readAttributes(tuple).get(CTA_TUPLE_IP);
  const source = ip && readAttributes(ip).get(sourceOf(address));
  return source !== undefined && Buffer.compare(source, address) === 0;
}

/** After the endpoint has left. Where the kernel tracks no connections, or has no netlink for them,
 * there is nothing to do, or no way to: they expire. */
export async function forgetConnections(native: Native, endpoint: AttachmentRecord): Promise<void> {
  for (const ip of [endpoint.ipv4, endpoint.ipv6]) {
    if (!ip) continue;
    const address = addressBytes(ip.address);
    const run = (host: Operation[]) => native.run({ host });
    await run([nft(flushConnections(address))])
      .catch(async () => {
        const results = await run([nft(listConnections(address))]);
        const gone = results.has(0) && deleteConnections(results.bytes(0), address);
        if (gone) await run([nft(gone, { ignore: ENOENT })]);
      })
      .catch(() => {});
  }
}
