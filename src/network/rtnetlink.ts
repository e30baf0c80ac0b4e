// rtnetlink(7) messages for links, addresses, routes and neighbours; rtnetlink-dumps.ts reads them.
// Each function appends one message to a writer, so that a caller sends everything for one
// network namespace at once. Every message asks for an acknowledgement.

import { addressBytes, macBytes } from "./addresses.ts";
import {
  type Late,
  type NetlinkData,
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./netlink-message.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  IFA,
  IFA_F_NODAD,
  IFF_UP,
  IFLA,
  IFLA_AF_SPEC,
  IFLA_BR_NF_CALL_IP6TABLES,
  IFLA_BR_NF_CALL_IPTABLES,
  IFLA_BRPORT_ISOLATED,
  IFLA_BRPORT_MODE,
  IFLA_IFALIAS,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_IPVLAN_FLAGS,
  IFLA_LAN_MODE,
  IFLA_LINK,
  IFLA_NET_NS_FD,
  IFLA_VLAN_ID,
  IN6_ADDR_GEN_MODE_NONE,
  NDA,
  NUD_STALE,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTA,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_SETLINK,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
  RTPROT_STATIC,
  VETH_INFO_PEER,
} from "./rtnetlink-numbers.ts";

/** A link by index, by slot, or by its name. */
export type LinkRef = Late | string;

export interface LinkChange {
  up?: boolean;
  master?: Late;
  mtu?: number;
  mac?: string;
  /** No IPv6 link-local address of the kernel's own making. Needs a kernel with IPv6. */
  noLinkLocal?: boolean;
  rename?: string;
}

export class RouteWriter {
  readonly #w = new NetlinkWriter();

  finish(): NetlinkData {
    return this.#w.finish();
  }

  /** Makes a bridge that is down. EEXIST when the name is taken. */
  addBridge(name: string, { mtu, mac }: { mtu?: number; mac?: string } = {}): this {
    const w = this.#w;
    w.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, () => {
      this.#linkHeader(0, undefined);
      w.attrString(IFLA.IFNAME, name);
      if (mtu) w.attrU32(IFLA.MTU, mtu);
      if (mac) w.attrBytes(IFLA.ADDRESS, macBytes(mac));
      w.nest(IFLA.LINKINFO, () => w.attrString(IFLA_INFO_KIND, "bridge"));
    });
    return this;
  }

  /** Makes a link that leads nowhere, down. EEXIST when the name is taken. */
  addDummy(name: string): this {
    return this.#newLink(name, () => this.#w.attrString(IFLA_INFO_KIND, "dummy"));
  }

  /** Makes an 802.1q sub-interface of `parent`, down. */
  addVlan(name: string, parent: Late, id: number): this {
    const w = this.#w;
    return this.#newLink(
      name,
      () => {
        w.attrString(IFLA_INFO_KIND, "vlan");
        w.nest(IFLA_INFO_DATA, () => w.attrU16(IFLA_VLAN_ID, id));
      },
      () => w.attrU32(IFLA_LINK, parent),
    );
  }

  /** Makes a macvlan or ipvlan link of `parent` that is born in the namespace of a slot, down. */
  addLan(o: {
    name: string;
    netns: number;
    parent: Late;
    mode: { macvlan: number } | { ipvlan: number; flags: number };
    mac?: string;
    mtu?: number;
  }): this {
    const w = this.#w;
    const { mode } = o;
    return this.#newLink(
      o.name,
      () => {
        w.attrString(IFLA_INFO_KIND, "macvlan" in mode ? "macvlan" : "ipvlan");
        w.nest(IFLA_INFO_DATA, () => {
          if ("macvlan" in mode) w.attrU32(IFLA_LAN_MODE, mode.macvlan);
          else w.attrU16(IFLA_LAN_MODE, mode.ipvlan).attrU16(IFLA_IPVLAN_FLAGS, mode.flags);
        });
      },
      () => {
        w.attrU32(IFLA_LINK, o.parent);
        if (o.mtu) w.attrU32(IFLA.MTU, o.mtu);
        if (o.mac) w.attrBytes(IFLA.ADDRESS, macBytes(o.mac));
        w.attrU32(IFLA_NET_NS_FD, { slot: o.netns });
      },
    );
  }

  #newLink(name: string, info: () => void, more: () => void = () => {}): this {
    const w = this.#w;
    w.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, () => {
      this.#linkHeader(0, false);
      w.attrString(IFLA.IFNAME, name);
      more();
      w.nest(IFLA.LINKINFO, info);
    });
    return this;
  }

  /** Frames between a bridge's ports pass the firewall too, whatever the global sysctl says. */
  filterFrames(name: string): this {
    const w = this.#w;
    w.message(RTM_NEWLINK, NLM_F_ACK, () => {
      this.#linkHeader(0, undefined);
      w.attrString(IFLA.IFNAME, name);
      w.nest(IFLA.LINKINFO, () => {
        w.attrString(IFLA_INFO_KIND, "bridge");
        w.nest(IFLA_INFO_DATA, () => {
          w.attrU8(IFLA_BR_NF_CALL_IPTABLES, 1).attrU8(IFLA_BR_NF_CALL_IP6TABLES, 1);
        });
      });
    });
    return this;
  }

  /** A note on the link that says whose it is. */
  setAlias(name: string, alias: string): this {
    const w = this.#w;
    w.message(RTM_SETLINK, NLM_F_ACK, () => {
      this.#linkHeader(0, undefined);
      w.attrString(IFLA.IFNAME, name);
      w.attrBytes(IFLA_IFALIAS, new TextEncoder().encode(alias));
    });
    return this;
  }

  /** Makes a veth pair whose peer is born inside another namespace (`peer.netns`, a slot that
   * holds its descriptor): it never exists in ours. Both ends are down. */
  addVeth(o: {
    name: string;
    master?: Late;
    mtu?: number;
    mac?: string;
    peer: { name: string; netns: number; mac?: string };
  }): this {
    const w = this.#w;
    w.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, () => {
      this.#linkHeader(0, false);
      w.attrString(IFLA.IFNAME, o.name);
      if (o.mtu) w.attrU32(IFLA.MTU, o.mtu);
      if (o.mac) w.attrBytes(IFLA.ADDRESS, macBytes(o.mac));
      if (o.master !== undefined) w.attrU32(IFLA.MASTER, o.master);
      w.nest(IFLA.LINKINFO, () => {
        w.attrString(IFLA_INFO_KIND, "veth");
        w.nest(IFLA_INFO_DATA, () =>
          w.nest(VETH_INFO_PEER, () => {
            this.#linkHeader(0, false);
            w.attrString(IFLA.IFNAME, o.peer.name);
            if (o.mtu) w.attrU32(IFLA.MTU, o.mtu);
            if (o.peer.mac) w.attrBytes(IFLA.ADDRESS, macBytes(o.peer.mac));
            w.attrU32(IFLA_NET_NS_FD, { slot: o.peer.netns });
          }),
        );
      });
    });
    return this;
  }

  setLink(link: LinkRef, change: LinkChange): this {
    const w = this.#w;
    w.message(RTM_SETLINK, NLM_F_ACK, () => {
      this.#linkHeader(typeof link === "string" ? 0 : link, change.up);
      if (typeof link === "string") w.attrString(IFLA.IFNAME, link);
      else if (change.rename) w.attrString(IFLA.IFNAME, change.rename);
      if (change.mtu) w.attrU32(IFLA.MTU, change.mtu);
      if (change.mac) w.attrBytes(IFLA.ADDRESS, macBytes(change.mac));
      if (change.master !== undefined) w.attrU32(IFLA.MASTER, change.master);
      if (change.noLinkLocal) {
        w.nest(IFLA_AF_SPEC, () =>
          w.nest(AF_INET6, () => w.attrU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
        );
      }
    });
    return this;
  }

  /** Flags of a port that is on its bridge already: `isolated` ports reach the bridge but not
   * one another (ICC off); `hairpin` ports may get back what they sent. */
  setBridgePort(name: string, flags: { isolated?: boolean; hairpin?: boolean }): this {
    const w = this.#w;
    // RTM_SETLINK ignores what a link's master has to say.
    w.message(RTM_NEWLINK, NLM_F_ACK, () => {
      this.#linkHeader(0, undefined);
      w.attrString(IFLA.IFNAME, name);
      w.nest(IFLA.LINKINFO, () => {
        w.attrString(IFLA_INFO_SLAVE_KIND, "bridge");
        w.nest(IFLA_INFO_SLAVE_DATA, () => {
          if (flags.hairpin !== undefined) w.attrU8(IFLA_BRPORT_MODE, Number(flags.hairpin));
          if (flags.isolated !== undefined) w.attrU8(IFLA_BRPORT_ISOLATED, Number(flags.isolated));
        });
      });
    });
    return this;
  }

  deleteLink(link: LinkRef): this {
    const w = this.#w;
    w.message(RTM_DELLINK, NLM_F_ACK, () => {
      this.#linkHeader(typeof link === "string" ? 0 : link, undefined);
      if (typeof link === "string") w.attrString(IFLA.IFNAME, link);
    });
    return this;
  }

  /** IPv6 addresses skip duplicate address detection: the address is ours by allocation. */
  addAddress(link: Late, address: string, prefix: number): this {
    return this.#address(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, {
      link,
      address,
      prefix,
    });
  }
  deleteAddress(link: Late, address: string, prefix: number): this {
    return this.#address(RTM_DELADDR, NLM_F_ACK, { link, address, prefix });
  }

  #address(
    type: number,
    flags: number,
    { link, address, prefix }: { link: Late; address: string; prefix: number },
  ): this {
    const w = this.#w;
    const bytes = addressBytes(address);
    const v4 = bytes.length === 4;
    w.message(type, flags, () => {
      w.u8(v4 ? AF_INET : AF_INET6)
        .u8(prefix)
        .u8(v4 ? 0 : IFA_F_NODAD)
        .u8(RT_SCOPE_UNIVERSE);
      w.u32(link);
      w.attrBytes(IFA.LOCAL, bytes).attrBytes(IFA.ADDRESS, bytes);
      if (v4 && prefix < 31) w.attrBytes(IFA.BROADCAST, broadcastOf(bytes, prefix));
    });
    return this;
  }

  /** A route to `destination` ("default" or a subnet). `onlink`: the gateway need not be in a
   * subnet of the link. */
  addRoute(o: {
    link: Late;
    family: 4 | 6;
    destination?: { address: string; prefix: number };
    gateway?: string;
    onlink?: boolean;
    metric?: number;
  }): this {
    const w = this.#w;
    w.message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, () => {
      w.u8(o.family === 4 ? AF_INET : AF_INET6);
      w.u8(o.destination?.prefix ?? 0)
        .u8(0)
        .u8(0);
      w.u8(RT_TABLE_MAIN).u8(o.gateway ? RTPROT_BOOT : RTPROT_STATIC);
      w.u8(o.gateway || o.family === 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK).u8(RTN_UNICAST);
      w.u32(o.onlink ? RTNH_F_ONLINK : 0);
      if (o.destination) w.attrBytes(RTA.DST, addressBytes(o.destination.address));
      w.attrU32(RTA.OIF, o.link);
      if (o.gateway) w.attrBytes(RTA.GATEWAY, addressBytes(o.gateway));
      if (o.metric) w.attrU32(RTA.PRIORITY, o.metric);
    });
    return this;
  }

  /** ESRCH where there is none. */
  deleteDefaultRoute(family: 4 | 6): this {
    const w = this.#w;
    w.message(RTM_DELROUTE, NLM_F_ACK, () => {
      w.u8(family === 4 ? AF_INET : AF_INET6)
        .u8(0)
        .u8(0)
        .u8(0);
      w.u8(RT_TABLE_MAIN).u8(0).u8(RT_SCOPE_NOWHERE).u8(RTN_UNICAST).u32(0);
    });
    return this;
  }

  /** What the link must believe about an address, replacing what it learned of an earlier owner;
   * verified on use (stale). */
  setNeighbour(link: Late, address: string, mac: string): this {
    const w = this.#w;
    const bytes = addressBytes(address);
    w.message(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, () => {
      w.u8(bytes.length === 4 ? AF_INET : AF_INET6)
        .u8(0)
        .u16(0)
        .u32(link);
      w.u16(NUD_STALE).u8(0).u8(0);
      w.attrBytes(NDA.DST, bytes).attrBytes(NDA.LLADDR, macBytes(mac));
    });
    return this;
  }

  #linkHeader(index: Late, up: boolean | undefined): void {
    this.#w.u8(AF_UNSPEC).u8(0).u16(0).u32(index);
    this.#w.u32(up ? IFF_UP : 0).u32(up === undefined ? 0 : IFF_UP);
  }
}

function broadcastOf(bytes: Uint8Array, prefix: number): Uint8Array {
  return bytes.map((byte, index) => {
    const hostBits = Math.min(8, Math.max(0, 8 * (index + 1) - prefix));
    return byte | ((1 << hostBits) - 1);
  });
}
