// IPv4 and IPv6 addresses and subnets as numbers, so that allocation, overlap and encoding are
// arithmetic. An address is a bigint with its family; text is parsed once, here.

import { GantryError } from "../base/index.ts";

export type Family = 4 | 6;

export interface Subnet {
  readonly family: Family;
  /** The network's first address. */
  readonly base: bigint;
  readonly prefix: number;
}

export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

/** Parses an address without prefix or zone; undefined when it is none. */
export function parseAddress(text: string): { family: Family; value: bigint } | undefined {
  if (text.includes(":")) {
    const value = parseIpv6(text);
    return value === undefined ? undefined : { family: 6, value };
  }
  const value = parseIpv4(text);
  return value === undefined ? undefined : { family: 4, value };
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  let rest = text;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const low = parseIpv4(tail[2]!);
    if (low === undefined) return undefined;
    rest = `${tail[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  }
  const halves = rest.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string): string[] => (half === "" ? [] : half.split(":"));
  const left = groups(halves[0]!);
  const right = halves.length === 2 ? groups(halves[1]!) : [];
  const missing = 8 - left.length - right.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...left, ...Array<string>(missing).fill("0"), ...right]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

/** Dotted quad, or IPv6 in the shortest form (RFC 5952). */
export function formatAddress(family: Family, value: bigint): string {
  if (family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 0xffn).toString()).join(".");
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(((value >> shift) & 0xffffn).toString(16));
  }
  const { start, length } = longestZeroRun(groups);
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

function longestZeroRun(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== "0") start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
}

/** The 4 or 16 bytes of an address, in network order. Throws invalid. */
export function addressBytes(text: string): Uint8Array {
  const parsed = parseAddress(text);
  if (!parsed) throw new GantryError("invalid", `invalid IP address: ${text}`);
  return valueBytes(parsed.family, parsed.value);
}

export function valueBytes(family: Family, value: bigint): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  let rest = value;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function bytesAddress(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return formatAddress(bytes.length === 4 ? 4 : 6, value);
}

/** Parses "10.0.0.0/8"; host bits are allowed and masked away. Throws invalid. */
export function parseSubnet(text: string): Subnet {
  const slash = text.lastIndexOf("/");
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const prefix = text.slice(slash + 1);
  if (!address || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bitsOf(address.family)) {
    throw new GantryError("invalid", `invalid CIDR address: ${text}`);
  }
  return subnetOf(address.family, address.value, Number(prefix));
}

/** The subnet of `prefix` bits that contains the address. */
export function subnetOf(family: Family, value: bigint, prefix: number): Subnet {
  const hostBits = BigInt(bitsOf(family) - prefix);
  return { family, base: (value >> hostBits) << hostBits, prefix };
}

export const sizeOf = (subnet: Subnet): bigint =>
  1n << BigInt(bitsOf(subnet.family) - subnet.prefix);

export const lastOf = (subnet: Subnet): bigint => subnet.base + sizeOf(subnet) - 1n;

export const formatSubnet = (subnet: Subnet): string =>
  `${formatAddress(subnet.family, subnet.base)}/${subnet.prefix}`;

export function contains(subnet: Subnet, family: Family, value: bigint): boolean {
  return subnet.family === family && value >= subnet.base && value <= lastOf(subnet);
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.base <= lastOf(b) && b.base <= lastOf(a);
}

/** Bytes of "02:42:ac:11:00:02". Throws invalid with docker's wording. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new GantryError("invalid", `invalid MAC address: ${text}`);
  }
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}

export const formatMac = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");

/** 02:42 and the IPv4 address: whoever gets an address again gets its MAC again too, so that no
 * neighbour keeps a stale ARP entry for it. */
export function macOfAddress(ipv4: string): string {
  return formatMac(Uint8Array.of(0x02, 0x42, ...addressBytes(ipv4)));
}
