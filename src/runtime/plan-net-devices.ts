// linux.netDevices (runtime-spec 1.3, config-linux.md): interfaces of the host that move into the
// container's network namespace, get their name there, keep their permanent addresses and are set
// up. Nothing brings them back: with the namespace the kernel gives physical ones to the first
// namespace and deletes virtual ones. Messages of rtnetlink, written and read here.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";
import type { NetAddress, NetDevice } from "./contract.ts";
import type { Namespaces } from "./namespaces.ts";

const NETLINK_ROUTE = 0;
const RTM = { newLink: 16, getLink: 18, newAddress: 20, getAddress: 22 } as const;
const NLM_F = { request: 1, ack: 4, dump: 0x300, createExclusively: 0x600 } as const;
const IFF_UP = 1;
const IFLA = { name: 3, netnsFd: 28, newIndex: 49 } as const;
const IFA = { address: 1, local: 2, broadcast: 4, flags: 8, priority: 9 } as const;
const IFA_F_PERMANENT = 0x80;
/** Flags that are the owner's will: no duplicate detection, no prefix route, managed, multicast. */
const IFA_F_KEPT = 0x02 | 0x200 | 0x100 | 0x400;
const RT_SCOPE_UNIVERSE = 0;
const HEADER_BYTES = 16;
const NAME_BYTES_MAX = 15;
/** Slot of the index of an interface after its move; one of the network's, whose share is done. */
const INDEX_SLOT = 58;
/** Whose name the kernel chooses is found again by a number that nobody else has. */
const INDEX_FIRST = 0x4000_0000;

type Attribute = { type: number; data: Uint8Array };

/** A message whose body is `head` and attributes. Everything is in the machine's order, which is
 * little-endian on all that we run on. */
function message(
  type: number,
  flags: number,
  head: Uint8Array,
  attributes: readonly Attribute[] = [],
): Uint8Array {
  const padded = (length: number) => (length + 3) & ~3;
  const bodies = attributes.reduce((sum, { data }) => sum + padded(4 + data.length), 0);
  const length = HEADER_BYTES + head.length + bodies;
  const bytes = new Uint8Array(padded(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F.request | flags, true);
  bytes.set(head, HEADER_BYTES);
  let at = HEADER_BYTES + head.length;
  for (const { type: kind, data } of attributes) {
    view.setUint16(at, 4 + data.length, true);
    view.setUint16(at + 2, kind, true);
    bytes.set(data, at + 4);
    at += padded(4 + data.length);
  }
  return bytes;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** struct ifinfomsg */
function linkHead(index: number, up = false): Uint8Array {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, up ? IFF_UP : 0, true);
  view.setUint32(12, up ? IFF_UP : 0, true);
  return head;
}

/** struct ifaddrmsg */
function addressHead({ family, prefix }: NetAddress, index: number): Uint8Array {
  const head = new Uint8Array(8);
  head.set([family, prefix, 0, RT_SCOPE_UNIVERSE]);
  new DataView(head.buffer).setUint32(4, index, true);
  return head;
}

/** What the caller runs to learn of an interface: its link, then all addresses. */
export function netDeviceQuery(name: string): Operation[] {
  const link = message(RTM.getLink, NLM_F.ack, linkHead(0), [
    { type: IFLA.name, data: text(name) },
  ]);
  const addresses = message(RTM.getAddress, NLM_F.dump, new Uint8Array(8));
  return [
    { op: "netlink", protocol: NETLINK_ROUTE, data: link },
    { op: "netlink", protocol: NETLINK_ROUTE, data: addresses },
  ];
}

/** The answers of netDeviceQuery. */
export function readNetDevice(to: string, link: Uint8Array, addresses: Uint8Array): NetDevice {
  const [first] = messagesOf(link, RTM.newLink);
  if (!first) throw new GantryError("internal", "the kernel told nothing of an interface");
  const index = new DataView(first.buffer, first.byteOffset).getInt32(4, true);
  const all = messagesOf(addresses, RTM.newAddress).map((body) => readAddress(body));
  const kept = all.filter((one) => one.index === index && one.permanent && one.global);
  return { index, to, addresses: kept.map(({ address }) => address) };
}

function messagesOf(bytes: Uint8Array, type: number): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    const body = bytes.subarray(at + HEADER_BYTES, at + length);
    if (view.getUint16(at + 4, true) === type) bodies.push(body);
    at += (length + 3) & ~3;
  }
  return bodies;
}

function readAddress(body: Uint8Array) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const [family = 0, prefix = 0, short = 0, scope = 0] = body;
  const attributes: Attribute[] = [];
  let flags = short;
  for (let at = 8; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    const type = view.getUint16(at + 2, true);
    if (length < 4 || at + length > body.length) break;
    const data = body.slice(at + 4, at + length);
    if (type === IFA.flags) flags = view.getUint32(at + 4, true);
    const kept = [IFA.address, IFA.local, IFA.broadcast, IFA.priority] as readonly number[];
    if (kept.includes(type)) attributes.push({ type, data });
    at += (length + 3) & ~3;
  }
  return {
    index: view.getUint32(4, true),
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    global: scope === RT_SCOPE_UNIVERSE,
    address: { family, prefix, flags: flags & IFA_F_KEPT, attributes },
  };
}

/** Throws invalid for names that the kernel would refuse, or two devices of one name. */
export function netDeviceNames(linux: OciLinux | undefined): Map<string, string> {
  const names = new Map<string, string>();
  for (const [from, { name }] of Object.entries(linux?.netDevices ?? {})) {
    const to = name || from;
    for (const one of [from, to]) checkName(one);
    const template = /%/.test(to);
    if (from.includes("%") || (template && !/^[^%]*%d$/.test(to))) {
      throw new GantryError("invalid", `invalid network device name ${JSON.stringify(to)}`);
    }
    if (to === "lo" || (!template && [...names.values()].includes(to))) {
      throw new GantryError("invalid", `two network devices would be named ${JSON.stringify(to)}`);
    }
    names.set(from, to);
  }
  return names;
}

function checkName(name: string): void {
  const long = new TextEncoder().encode(name).length > NAME_BYTES_MAX;
  if (name === "" || name === "." || name === ".." || long || /[\s/:\0]/.test(name)) {
    throw new GantryError("invalid", `invalid network device name ${JSON.stringify(name)}`);
  }
}

/** Host half, after clone: `netns` is the slot of the container's network namespace. */
export function planNetDevices(
  devices: readonly NetDevice[],
  { netns, namespaces }: { netns: number; namespaces: Pick<Namespaces, "has"> },
): Operation[] {
  if (devices.length > 0 && !namespaces.has("network")) {
    throw new GantryError(
      "invalid",
      "unable to move network devices without a private NET namespace",
    );
  }
  return devices.flatMap((device) => moveOperations(device, netns));
}

function moveOperations({ index, to, addresses }: NetDevice, netns: number): Operation[] {
  const template = to.includes("%");
  const known = template ? INDEX_FIRST + index : 0;
  const move = message(RTM.newLink, NLM_F.ack, linkHead(index), [
    { type: IFLA.netnsFd, data: u32(0) },
    { type: IFLA.name, data: text(to) },
    ...(template ? [{ type: IFLA.newIndex, data: u32(known) }] : []),
  ]);
  const fd = { offset: HEADER_BYTES + 16 + 4, slot: netns, width: 4 } as const;
  const protocol = NETLINK_ROUTE;
  // The index may be another's in the new namespace: it is asked for, or was chosen.
  const inside = (data: Uint8Array): Operation => {
    const patches = [{ offset: HEADER_BYTES + 4, slot: INDEX_SLOT, width: 4 as const }];
    return { op: "netlink", protocol, data, netns, ...(!template && { patches }) };
  };
  return [
    { op: "netlink", protocol, data: move, patches: [fd] },
    ...(template ? [] : [{ op: "interfaceIndex", name: to, netns, to: INDEX_SLOT } as const]),
    ...addresses.map((address) => {
      const flags = { type: IFA.flags, data: u32(address.flags) };
      const all = [...address.attributes, flags];
      const head = addressHead(address, known);
      return inside(message(RTM.newAddress, NLM_F.ack | NLM_F.createExclusively, head, all));
    }),
    inside(message(RTM.newLink, NLM_F.ack, linkHead(known, true))),
  ];
}
