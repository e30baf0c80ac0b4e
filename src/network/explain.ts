// Why a container's port is or is not reachable: what lies between a client and the process that
// should answer, one line each, with what to do about it. It looks at the kernel as it is now, not
// at what was meant to be.

import { readFile } from "node:fs/promises";
import type { Native, Operation } from "../native/index.ts";
import type { AttachmentRecord, ExplainLine, PublishedPort } from "./contract.ts";
import { gatewayModeOf, rulesOf } from "./endpoint-rules.ts";
import { type Forwarding, forwardingElements } from "./firewall-elements.ts";
import { remedyFor } from "./foreign-firewalls.ts";
import type { HostFirewall } from "./host-firewall.ts";
import { type HostState, readHostState } from "./host-state.ts";
import { isLoopback, type Listener, readListeners } from "./listeners.ts";
import type { NetworkRecord } from "./network-record.ts";
import { NETLINK_NETFILTER } from "./nftables.ts";
import { getElement, hasElement } from "./nftables-read.ts";
import { LOOPBACK_HOST_IPS } from "./options.ts";
import type { HeldPort } from "./port-holder.ts";
import { portOwner } from "./port-owner.ts";
import { eachPort } from "./port-ranges.ts";

export interface ExplainSubject {
  record: AttachmentRecord;
  network: NetworkRecord;
  pid: number;
  port?: { number: number; protocol: PublishedPort["protocol"] } | undefined;
}
export interface ExplainSurroundings {
  native: Native;
  firewall: HostFirewall;
  /** What the port holder holds for the endpoint; undefined when none runs. */
  held: (endpointId: string) => Promise<HeldPort[] | undefined>;
}

const ok = (about: string, says: string): ExplainLine => ({ about, verdict: "ok", says });
const note = (about: string, says: string, fix?: string): ExplainLine => ({
  about,
  verdict: "note",
  says,
  ...(fix && { fix }),
});
const bad = (about: string, says: string, fix: string): ExplainLine => ({
  about,
  verdict: "bad",
  says,
  fix,
});

/** Lines in the order in which a packet meets what they are about. */
export async function explainEndpoint(
  subject: ExplainSubject,
  around: ExplainSurroundings,
): Promise<ExplainLine[]> {
  await around.firewall.refresh();
  const host = await readHostState(around.native);
  const bridged = subject.network.bridge !== undefined;
  return [
    ...(await listening(subject)),
    ...(bridged ? links(subject, host) : []),
    ...(await routes(subject)),
    ...(bridged ? await publishing(subject, around) : unbridged(subject)),
    ...(bridged ? forwarding(subject, around, host) : []),
    ...(bridged ? sizes(subject, host) : []),
  ];
}

const text = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");

async function listenersOf(pid: number, protocol: string): Promise<Listener[]> {
  const tables = await Promise.all(
    [protocol, `${protocol}6`].map((name) => text(`/proc/${pid}/net/${name}`)),
  );
  return tables.flatMap((table) => readListeners(table, protocol));
}

async function listening({ pid, port, record }: ExplainSubject): Promise<ExplainLine[]> {
  const wanted = new Map<string, { number: number; protocol: PublishedPort["protocol"] }>();
  if (port) wanted.set("", port);
  else {
    for (const { containerPort: number, protocol } of eachPort(record.ports)) {
      wanted.set(`${number}/${protocol}`, { number, protocol });
    }
  }
  const tables = new Map<string, Listener[]>();
  for (const protocol of ["tcp", "udp"]) tables.set(protocol, await listenersOf(pid, protocol));
  return [...wanted.values()].map(({ number, protocol }) => {
    const about = `listener ${number}/${protocol}`;
    const table = tables.get(protocol);
    if (!table) return note(about, "the kernel does not list who listens for this protocol");
    const found = table.filter((one) => one.port === number);
    const open = found.filter(({ address }) => !isLoopback(address));
    if (open.length > 0) {
      return ok(about, `a process listens on ${open.map(({ address }) => address).join(" and ")}`);
    }
    if (found.length > 0) {
      return bad(
        about,
        `the process listens on ${found[0]!.address} only, which is the container itself`,
        `make it listen on 0.0.0.0 or :: (an option such as --host or bind-address)`,
      );
    }
    return bad(about, "nothing listens on the port in the container", othersSay(table));
  });
}

function othersSay(table: readonly Listener[]): string {
  const open = [...new Set(table.map(({ port }) => port))].filter((port) => port !== 0);
  return open.length > 0
    ? `publish a port that is listened on (${open.join(", ")}), or start the service`
    : "start the service in the container, and see its log for why it does not listen";
}

function links({ record, network }: ExplainSubject, host: HostState): ExplainLine[] {
  const bridge = host.links.find(({ name }) => name === network.bridge?.name);
  const veth = host.links.find(({ name }) => name === record.hostInterface);
  const again = "restart the container: the daemon makes what is missing";
  if (!bridge) return [bad("bridge", `the bridge ${network.bridge!.name} is gone`, again)];
  if (!bridge.up) {
    return [bad("bridge", `the bridge ${bridge.name} is down`, `ip link set ${bridge.name} up`)];
  }
  if (!veth) return [bad("interface", "the container's interface is gone", again)];
  if (veth.master !== bridge.index) {
    const fix = `ip link set ${veth.name} master ${bridge.name}`;
    return [bad("interface", `${veth.name} is not on the bridge ${bridge.name}`, fix)];
  }
  if (!veth.up) {
    return [bad("interface", `${veth.name} is down`, `ip link set ${veth.name} up`)];
  }
  return [ok("interface", `${record.interfaceName} is on ${bridge.name} by ${veth.name}`)];
}

const GATEWAY_COLUMN = 2;

async function routes({ pid, network, record }: ExplainSubject): Promise<ExplainLine[]> {
  const { ipv4 } = record;
  if (network.internal) {
    const fix = "connect the container to a network that is not internal";
    return [bad("network", `${network.name} is internal: nothing gets in or out`, fix)];
  }
  if (!ipv4) return [];
  const rows = (await text(`/proc/${pid}/net/route`)).split("\n").slice(1);
  const leads = rows.find((row) => row.split("\t")[1] === "00000000")?.split("\t");
  if (!leads) {
    return [
      bad(
        "route",
        "the container has no default route: it cannot answer clients of other networks",
        "restart it, or look at what in it changes routes",
      ),
    ];
  }
  const gateway = leads[GATEWAY_COLUMN]!.match(/../g)!
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join(".");
  return gateway === ipv4.gateway
    ? [ok("route", `its way out is ${gateway} over ${leads[0]}`)]
    : [note("route", `its way out is ${gateway} over ${leads[0]}, not over ${network.name}`)];
}

function unbridged({ network, record }: ExplainSubject): ExplainLine[] {
  const address = record.ipv4?.address ?? record.ipv6?.address ?? "";
  return [
    note("published", `${network.driver} networks publish no ports: it is reached at ${address}`),
  ];
}

async function publishing(
  { record, network, port }: ExplainSubject,
  around: ExplainSurroundings,
): Promise<ExplainLine[]> {
  const ports = eachPort(record.ports).filter(
    ({ containerPort, protocol }) =>
      !port || (containerPort === port.number && protocol === port.protocol),
  );
  if (ports.length === 0) {
    const number = port ? `${port.number}/${port.protocol}` : "PORT";
    return [
      bad(
        "published",
        "the port is not published: only containers of the same network reach it",
        `gantry update --publish-add HOST-PORT:${number} CONTAINER`,
      ),
    ];
  }
  const held = (await around.held(record.endpointId)) ?? [];
  const lines: ExplainLine[] = [];
  for (const one of ports) lines.push(...(await publication(one, network, record, held, around)));
  return lines;
}

async function publication(
  port: PublishedPort,
  network: NetworkRecord,
  record: AttachmentRecord,
  held: readonly HeldPort[],
  around: ExplainSurroundings,
): Promise<ExplainLine[]> {
  const { hostIp, hostPort, protocol, containerPort } = port;
  const family = hostIp.includes(":") ? 6 : 4;
  if (hostPort === 0) {
    const address = record[`ipv${family}`]?.address ?? "";
    const mode = gatewayModeOf(network, family);
    const says = `reached at ${address}:${containerPort} by those who know a route (${mode})`;
    return [ok("published", says)];
  }
  const at = `${family === 6 ? `[${hostIp}]` : hostIp}:${hostPort}/${protocol}`;
  const lines: ExplainLine[] = [
    LOOPBACK_HOST_IPS.test(hostIp)
      ? note("published", `${at} is this host only`, "publish it without a host address")
      : ok("published", at),
  ];
  const holds = held.some(
    (one) => one.ip === hostIp && one.port === hostPort && one.protocol === protocol,
  );
  if (!holds) {
    const owner = await portOwner(protocol, hostPort);
    const says = owner ? `${at} is held by ${owner}` : `nobody holds ${at}`;
    lines.push(bad("host port", says, "free the port and restart the container"));
  }
  const { table, works } = around.firewall;
  const forwardings = rulesOf({ ...record, ports: [port] }).forwardings;
  if (forwardings.length === 0 || !table) {
    const why = works ? "" : ", since nftables cannot be used here";
    lines.push(ok("forwarding", `the port holder carries ${at}${why}`));
    return lines;
  }
  for (const one of forwardings) {
    const there = await isForwarded(one, record, table, around.native);
    lines.push(
      there
        ? ok("forwarding", `nftables table ${table} sends ${at} to ${one.address}:${one.port}`)
        : bad("forwarding", `nftables table ${table} does not know ${at}`, "restart the container"),
    );
  }
  return lines;
}

/** Alone, or in a row of ports that is one element. */
async function isForwarded(
  one: Forwarding,
  record: AttachmentRecord,
  table: string,
  native: Native,
): Promise<boolean> {
  const whole = rulesOf(record).forwardings.find(
    ({ hostIp, hostPort, protocol, count = 1 }) =>
      hostIp === one.hostIp &&
      protocol === one.protocol &&
      hostPort <= one.hostPort &&
      one.hostPort < hostPort + count,
  );
  if (!whole) return false;
  const elements = [...forwardingElements(whole)];
  const { set, element } = elements[elements.length > 1 ? one.hostPort - whole.hostPort : 0]!;
  const ask: Operation = {
    op: "netlink",
    protocol: NETLINK_NETFILTER,
    data: getElement(table, set, element.key, element.keyEnd),
  };
  try {
    const results = await native.run({ host: [ask] });
    return results.has(0) && hasElement(results.bytes(0));
  } catch {
    return false;
  }
}

function forwarding(
  { network }: ExplainSubject,
  { firewall }: ExplainSurroundings,
  host: HostState,
): ExplainLine[] {
  const lines: ExplainLine[] = [];
  if (!host.ipForward) {
    lines.push(
      bad(
        "ip_forward",
        "the host does not forward IPv4: the port holder carries what is published, and " +
          "containers do not reach other hosts",
        "sysctl -w net.ipv4.ip_forward=1",
      ),
    );
  }
  for (const { chain, accepted, problem } of firewall.foreignDrops) {
    lines.push(
      accepted
        ? ok("firewall", `${chain} drops what is forwarded; a rule of ours lets containers pass`)
        : bad(
            "firewall",
            `${chain} drops what is forwarded${problem ? ` (${problem})` : ""}`,
            remedyFor(chain),
          ),
    );
  }
  if (firewall.foreignDrops.length === 0) lines.push(ok("firewall", "no other one is in the way"));
  const filter = network.bridge?.publishFilter;
  if (filter === "input") {
    lines.push(note("firewall", "the host's rules for input apply (publish filter: input)"));
  }
  return lines;
}

/** Packets that the way out cannot take are lost where ICMP is. */
function sizes({ network }: ExplainSubject, host: HostState): ExplainLine[] {
  const out = host.routes.find(({ prefix, family }) => prefix === 0 && family === 4);
  const uplink = host.links.find(({ index }) => index === out?.link);
  const bridge = host.links.find(({ name }) => name === network.bridge?.name);
  if (!uplink || !bridge || bridge.mtu <= uplink.mtu) return [];
  return [
    note(
      "mtu",
      `packets of ${network.name} have up to ${bridge.mtu} bytes, ${uplink.name} takes ` +
        `${uplink.mtu}`,
      `make the network with -o com.docker.network.driver.mtu=${uplink.mtu}`,
    ),
  ];
}
