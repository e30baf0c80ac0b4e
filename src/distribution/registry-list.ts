// Lists of registries in the daemon's configuration: host names, host:port, and CIDR ranges. Pure.

import { BlockList, isIP } from "node:net";
import { hostnameOf } from "./registry-rules.ts";

/** Whether `host` ("name", "name:port", "[::1]:5000") is named by an entry or lies in its range. */
export function isListed(entries: readonly string[], host: string): boolean {
  const name = hostnameOf(host);
  return entries.some((entry) => entry === host || entry === name || isInRange(entry, name));
}

function isInRange(entry: string, address: string): boolean {
  const [base = "", bits = ""] = entry.split("/");
  const family = isIP(base);
  if (family === 0 || isIP(address) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 6 ? 128 : 32)) return false;
  const type = family === 6 ? "ipv6" : "ipv4";
  const range = new BlockList();
  range.addSubnet(base, Number(bits), type);
  return range.check(address, type);
}
