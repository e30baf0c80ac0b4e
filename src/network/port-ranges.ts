// Published ports in a row are one entry, however many they are: 10,000 of them cost what one
// does, on record, in the firewall and on the wire to the port holder. Pure.

import type { PublishedPort, PublishRequest } from "./contract.ts";

/** A request, and how many that follow it in both port numbers it stands for. */
export interface PublishRow {
  request: PublishRequest;
  count: number;
}

/** Requests for one certain port each, in a row on both sides, are one; others stay alone. */
export function rowsOf(requests: readonly PublishRequest[]): PublishRow[] {
  const rows: PublishRow[] = [];
  const last = new Map<string, PublishRow>();
  const sorted = requests.toSorted((a, b) => a.containerPort - b.containerPort);
  for (const request of sorted) {
    const { protocol, hostIp, hostPort, hostPortEnd, containerPort } = request;
    if (hostPort === 0 || hostPortEnd > hostPort) {
      rows.push({ request, count: 1 });
      continue;
    }
    const key = `${protocol} ${hostIp} ${hostPort - containerPort}`;
    const row = last.get(key);
    if (row && row.request.containerPort + row.count === containerPort) {
      row.count++;
      continue;
    }
    const fresh = { request, count: 1 };
    rows.push(fresh);
    last.set(key, fresh);
  }
  return rows;
}

/** One entry a port, as docker's API shows them. */
export function eachPort(ports: readonly PublishedPort[]): PublishedPort[] {
  return ports.flatMap(({ count = 1, ...first }) =>
    Array.from({ length: count }, (_, n) => nth(first, n)),
  );
}

/** The ports that are in no entry of `gone`; an entry that loses some of its middle becomes two. */
export function subtractPorts(
  ports: readonly PublishedPort[],
  gone: readonly PublishedPort[],
): PublishedPort[] {
  return ports.flatMap((port) => {
    let left = [port];
    for (const hole of gone) left = left.flatMap((part) => around(part, hole));
    return left;
  });
}

function around(port: PublishedPort, hole: PublishedPort): PublishedPort[] {
  if (port.protocol !== hole.protocol || port.hostIp !== hole.hostIp) return [port];
  // Those without a host port are told apart by the container's.
  const side = port.hostPort === 0 && hole.hostPort === 0 ? "containerPort" : "hostPort";
  if ((port.hostPort === 0) !== (hole.hostPort === 0)) return [port];
  const { count = 1 } = port;
  const from = Math.max(0, hole[side] - port[side]);
  const to = Math.min(count, hole[side] + (hole.count ?? 1) - port[side]);
  if (from >= to) return [port];
  return [part(port, 0, from), part(port, to, count)].flat();
}

function part({ count: _, ...port }: PublishedPort, from: number, to: number): PublishedPort[] {
  if (from >= to) return [];
  return [{ ...nth(port, from), ...(to - from > 1 && { count: to - from }) }];
}

const nth = (port: PublishedPort, n: number): PublishedPort => ({
  ...port,
  containerPort: port.containerPort + n,
  hostPort: port.hostPort === 0 ? 0 : port.hostPort + n,
});
