// What an endpoint may have of its own: further addresses (link-local ones), the name of its
// interface, and sysctls of that interface, by the names that docker gives to such options.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { EndpointSettings } from "../spec/index.ts";
import { contains, parseAddress, parseSubnet } from "./addresses.ts";
import type { AttachmentRecord } from "./contract.ts";

const ENDPOINT = "com.docker.network.endpoint.";
const IFNAME = `${ENDPOINT}ifname`;
const SYSCTLS = `${ENDPOINT}sysctls`;
const INTERFACE_NAME_BYTES_MAX = 15;
const INTERFACE_NAME = /^[^\s/:%]+$/;
const LINK_LOCAL = { 4: parseSubnet("169.254.0.0/16"), 6: parseSubnet("fe80::/10") } as const;
const LINK_LOCAL_PREFIX = { 4: 16, 6: 64 } as const;
/** net.ipv4.conf.IFNAME.log_martians=1; the docker CLI makes the letters small. */
const SYSCTL = /^net\.(ipv4|ipv6|mpls)\.([a-z0-9_]+)\.(?:IFNAME|ifname)\.([a-zA-Z0-9_]+)=(.*)$/;
const DISABLE_IPV6 = "net/ipv6/conf/IFNAME/disable_ipv6";
const CLONE_NEWNET = 0x4000_0000;
const SLOT_BACK = 48;

export interface EndpointOptions {
  interfaceName?: string;
  /** Path below /proc/sys with the interface's name left as IFNAME → value. */
  sysctls: Record<string, string>;
  linkLocal: { address: string; prefix: number }[];
  /** Options that nobody knows: no effect. */
  unknown: string[];
}

/** Throws invalid, with all that is wrong, in docker's words. */
export function endpointOptions(settings: EndpointSettings): EndpointOptions {
  const problems: string[] = [];
  const options = settings.DriverOpts ?? {};
  const result: EndpointOptions = {
    sysctls: {},
    linkLocal: [],
    unknown: Object.keys(options).filter((key) => key !== IFNAME && key !== SYSCTLS),
  };
  for (const text of settings.IPAMConfig?.LinkLocalIPs ?? []) {
    const address = parseAddress(text);
    if (address && contains(LINK_LOCAL[address.family], address.family, address.value)) {
      result.linkLocal.push({ address: text, prefix: LINK_LOCAL_PREFIX[address.family] });
    } else problems.push(`invalid link-local IP address: ${text}`);
  }
  const name = options[IFNAME];
  if (name) {
    if (INTERFACE_NAME.test(name) && name.length <= INTERFACE_NAME_BYTES_MAX && name !== "lo") {
      result.interfaceName = name;
    } else problems.push(`invalid interface name ${JSON.stringify(name)} (${IFNAME})`);
  }
  for (const sysctl of (options[SYSCTLS] ?? "").split(",")) {
    if (sysctl.trim() === "") continue;
    const [, family, group, key, value] = SYSCTL.exec(sysctl.trim()) ?? [];
    if (family) result.sysctls[`net/${family}/${group}/IFNAME/${key}`] = value!;
    else {
      problems.push(
        `unrecognised network interface sysctl '${sysctl}'; represent 'net.X.Y.ethN.Z=V' as ` +
          "'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
      );
    }
  }
  if (problems.length === 0) return result;
  throw new GantryError("invalid", ["invalid endpoint settings:", ...problems].join("\n"));
}

/** Written in the container's namespace (slot), as its own processes could not: /proc/sys is
 * read-only to them. An interface that was given no IPv6 address takes none from its neighbours
 * either (CVE-2024-32473), unless it is asked for. */
export function planSysctls(
  record: AttachmentRecord,
  sysctls: Readonly<Record<string, string>>,
  { netns, ipv6 }: { netns: number; ipv6: boolean },
): Operation[] {
  const given = record.ipv6 || record.linkLocal?.some(({ address }) => address.includes(":"));
  const closed: Record<string, string> = ipv6 && !given ? { [DISABLE_IPV6]: "1" } : {};
  const writes = Object.entries({ ...closed, ...sysctls }).map(
    ([path, value]): Operation => ({
      op: "write",
      path: `/proc/sys/${path.replace("IFNAME", record.interfaceName)}`,
      data: new TextEncoder().encode(value),
    }),
  );
  if (writes.length === 0) return [];
  return [
    { op: "open", path: "/proc/self/ns/net", flags: 0, to: SLOT_BACK },
    { op: "setns", slot: netns, flags: CLONE_NEWNET },
    ...writes,
    { op: "setns", slot: SLOT_BACK, flags: CLONE_NEWNET },
    { op: "close", slot: SLOT_BACK },
  ];
}
