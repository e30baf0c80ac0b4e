// /etc/hosts, /etc/resolv.conf and /etc/hostname as docker writes them into a container. Pure.

import { GantryError } from "../../base/index.ts";

const LOCAL_LINES = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];
const FALLBACK_SERVERS = ["8.8.8.8", "8.8.4.4"];

export interface HostsInput {
  /** The host's own file, for --network host. */
  base?: string;
  hostname: string;
  domainname: string;
  addresses: readonly string[];
  /** "name:address" or "name=address"; "host-gateway" stands for `hostGateway`. */
  extraHosts: readonly string[];
  hostGateway: string;
}

export function hostsFile(o: HostsInput): string {
  const lines = o.base === undefined ? [...LOCAL_LINES] : o.base.replace(/\n+$/, "").split("\n");
  for (const entry of o.extraHosts) {
    const { name, address } = parseExtraHost(entry);
    if (address === "host-gateway" && o.hostGateway === "") {
      throw new GantryError("invalid", "unable to derive the IP value for host-gateway");
    }
    lines.push(`${address === "host-gateway" ? o.hostGateway : address}\t${name}`);
  }
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
  host: string;
  servers: readonly string[];
  search: readonly string[];
  options: readonly string[];
  /** The container has the host's own network: its local resolver can be reached. */
  sharesHostNetwork: boolean;
}

/** Servers on the host's loopback cannot be reached from a container and are left out. */
export function resolvConfFile(o: ResolvInput): string {
  const of = (keyword: string): string[] =>
    o.host
      .split("\n")
      .map((line) => line.replace(/[#;].*$/, "").trim())
      .filter((line) => line.split(/\s+/, 1)[0] === keyword)
      .map((line) => line.slice(keyword.length).trim());
  let servers = o.servers.length > 0 ? [...o.servers] : of("nameserver");
  if (o.servers.length === 0 && !o.sharesHostNetwork) {
    servers = servers.filter((server) => !/^127\.|^::1$/.test(server));
    if (servers.length === 0) servers = FALLBACK_SERVERS;
  }
  const fromHost = of("search").at(-1)?.split(/\s+/) ?? [];
  const search = (o.search.length > 0 ? [...o.search] : fromHost).filter((domain) => domain !== "");
  const options =
    o.options.length > 0 ? [...o.options] : of("options").flatMap((x) => x.split(/\s+/));
  const lines = servers.map((server) => `nameserver ${server}`);
  if (search.length > 0 && !(search.length === 1 && search[0] === ".")) {
    lines.push(`search ${search.join(" ")}`);
  }
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  return `${lines.join("\n")}\n`;
}
