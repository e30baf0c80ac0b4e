// /etc/hosts, /etc/resolv.conf and /etc/hostname as docker writes them into a container. Pure.

import { isIP } from "node:net";
import { GantryError } from "../../base/index.ts";

const LOCAL_LINES = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];
const LOOPBACK = /^127\.|^::1$/;
/** As many as the resolver keeps; glibc reads three. */
const SERVERS_MAX = 6;
const FALLBACK_SERVERS = ["8.8.8.8", "8.8.4.4"];

export interface HostsInput {
  /** The host's own file, for --network host. */
  base?: string;
  hostname: string;
  domainname: string;
  addresses: readonly string[];
  /** "name:address" or "name=address"; "host-gateway" stands for `hostGateways`. */
  extraHosts: readonly string[];
  hostGateways: readonly string[];
  /** Lines for the containers that it is linked to. */
  links?: readonly string[];
}

export function hostsFile(o: HostsInput): string {
  const lines = o.base === undefined ? [...LOCAL_LINES] : o.base.replace(/\n+$/, "").split("\n");
  for (const entry of o.extraHosts) {
    const { name, address } = parseExtraHost(entry);
    if (address === "host-gateway" && o.hostGateways.length === 0) {
      throw new GantryError("invalid", "unable to derive the IP value for host-gateway");
    }
    const addresses = address === "host-gateway" ? o.hostGateways : [address];
    lines.push(...addresses.map((one) => `${one}\t${name}`));
  }
  lines.push(...(o.links ?? []));
  const names = hostNames(o.hostname, o.domainname);
  for (const address of o.addresses) lines.push(`${address}\t${names}`);
  return `${lines.join("\n")}\n`;
}

/** The names of the container itself, as its /etc/hosts has them. */
export function hostNames(hostname: string, domainname: string): string {
  if (domainname) return `${hostname}.${domainname} ${hostname}`;
  return hostname.includes(".") ? `${hostname} ${hostname.split(".", 1)[0]}` : hostname;
}

function parseExtraHost(entry: string): { name: string; address: string } {
  const match = /^([^:=]+)[:=](.+)$/.exec(entry);
  if (!match) throw new GantryError("invalid", `bad format for add-host: "${entry}"`);
  return { name: match[1]!, address: match[2]!.replace(/^\[(.*)\]$/, "$1") };
}

export interface ResolvInput {
  /** The host's file, and where it is. */
  host: string;
  path: string;
  servers: readonly string[];
  search: readonly string[];
  options: readonly string[];
  /** The container has the host's own network: its local resolver can be reached. */
  sharesHostNetwork: boolean;
  /** The address of our own resolver, on networks that have names. */
  resolver?: string;
}

/** What the lines of one keyword say. */
function linesOf(text: string, keyword: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/[#;].*$/, "").trim())
    .filter((line) => line.split(/\s+/, 1)[0] === keyword)
    .map((line) => line.slice(keyword.length).trim());
}

/** Whom the resolver asks for a container: its own servers, from its namespace; or the host's, as
 * the host asks them ("@host"): a container may have no way to them (loopback, VPN, macvlan). */
export function upstreamServers(o: Pick<ResolvInput, "host" | "servers">): string[] {
  if (o.servers.length > 0) return [...o.servers].slice(0, SERVERS_MAX);
  return hostServers(o.host)
    .map((server) => server.replace(/%.*$/, ""))
    .filter((server) => isIP(server) !== 0)
    .map((server) => `${server}@host`)
    .slice(0, SERVERS_MAX);
}

const hostServers = (host: string): string[] => linesOf(host, "nameserver");

/** The words after the comment that dockerd ends the file with; tools read the servers there. */
interface Origin {
  defaults: boolean;
  overrides: string[];
  ndots: string | undefined;
}

/** Servers on the host's loopback cannot be reached from a container and are left out. */
export function resolvConfFile(o: ResolvInput): string {
  const of = (keyword: string): string[] => linesOf(o.host, keyword);
  const origin: Origin = { defaults: false, overrides: overridesOf(o), ndots: undefined };
  let servers = o.servers.length > 0 ? [...o.servers] : hostServers(o.host);
  if (o.servers.length === 0 && !o.sharesHostNetwork && o.resolver === undefined) {
    servers = servers.filter((server) => !LOOPBACK.test(server));
    origin.defaults = servers.length === 0;
    if (origin.defaults) servers = FALLBACK_SERVERS;
  }
  const fromHost = of("search").at(-1)?.split(/\s+/) ?? [];
  const search = (o.search.length > 0 ? [...o.search] : fromHost).filter((domain) => domain !== "");
  let options =
    o.options.length > 0 ? [...o.options] : of("options").flatMap((x) => x.split(/\s+/));
  if (hasNdots(options)) origin.ndots = o.options.length > 0 ? "override" : "host";
  if (o.resolver !== undefined) {
    servers = [o.resolver];
    // Names of containers have no dots, and are asked for as they are first.
    if (!hasNdots(options)) {
      options = [...options, "ndots:0"];
      origin.ndots = "internal";
    }
  }
  const lines = servers.map((server) => `nameserver ${server}`);
  if (search.length > 0 && !(search.length === 1 && search[0] === ".")) {
    lines.push(`search ${search.join(" ")}`);
  }
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  return [...HEAD, "", ...lines, "", ...originLines(o, origin), ""].join("\n");
}

const hasNdots = (options: readonly string[]): boolean =>
  options.some((option) => option.startsWith("ndots:"));

const overridesOf = ({ servers, search, options }: ResolvInput): string[] =>
  Object.entries({ nameservers: servers, search, options })
    .filter(([, words]) => words.length > 0)
    .map(([name]) => name);

/** Word for word dockerd's, for those who look for them. */
const HEAD = [
  "# Generated by Docker Engine.",
  "# This file can be edited; Docker Engine will not make further changes once it",
  "# has been modified.",
];

function originLines(o: ResolvInput, { defaults, overrides, ndots }: Origin): string[] {
  const inner = o.resolver !== undefined;
  const kind = inner ? " (internal resolver)" : o.sharesHostNetwork ? "" : " (legacy)";
  const asked = o.servers.length > 0 ? o.servers : hostServers(o.host).map((one) => `host(${one})`);
  const servers =
    asked.length > 0 ? `# ExtServers: [${asked.join(" ")}]` : "# NO EXTERNAL NAMESERVERS DEFINED";
  return [
    `# Based on host file: '${o.path}'${kind}`,
    ...(defaults ? ["# Used default nameservers."] : []),
    ...(inner ? [servers] : []),
    `# Overrides: [${overrides.join(" ")}]`,
    ...(ndots === undefined ? [] : [`# Option ndots from: ${ndots}`]),
  ];
}
