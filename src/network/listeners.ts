// Who listens in a network namespace, from the text of /proc/<pid>/net/{tcp,udp}[6]. Pure.

import { formatAddress } from "./addresses.ts";

export interface Listener {
  address: string; // "0.0.0.0", "127.0.0.1", "::"
  port: number;
}

const LISTEN = "0A";
const UNCONNECTED = "07";
const V4_DIGITS = 8;
const MAPPED = "0000000000000000FFFF0000";

export function readListeners(text: string, protocol: string): Listener[] {
  const wanted = protocol.startsWith("udp") ? UNCONNECTED : LISTEN;
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [hex = "", port = ""] = local.split(":");
    if (state !== wanted || !/^[0-9A-F]{8}([0-9A-F]{24})?$/.test(hex)) return [];
    return [{ address: readAddress(hex), port: Number.parseInt(port, 16) }];
  });
}

/** Words of 32 bits in the host's order, which is little-endian. IPv4 on an IPv6 socket is IPv4. */
function readAddress(hex: string): string {
  if (hex.startsWith(MAPPED)) return readAddress(hex.slice(MAPPED.length));
  const words = hex.match(/.{8}/g)!.map((word) => word.match(/../g)!.reverse().join(""));
  return formatAddress(hex.length === V4_DIGITS ? 4 : 6, BigInt(`0x${words.join("")}`));
}

/** Reached from its own namespace only. */
export const isLoopback = (address: string): boolean =>
  address.startsWith("127.") || address === "::1";
