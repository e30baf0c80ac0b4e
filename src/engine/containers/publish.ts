// Changes what a container publishes, also while it runs: connections to its other ports, and to
// itself, go on. No other engine does; gantry update --publish-add and --publish-rm.

import { GantryError } from "../../base/index.ts";
import { eachPort, type PublishedPort, type PublishRequest } from "../../network/index.ts";
import type { HostConfig, PortBinding } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { publishingRecord } from "./gateway.ts";
import { parsePort, publishRequests } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

export type PortBindings = NonNullable<HostConfig["PortBindings"]>;

/** Container port → host addresses and ports. In `remove` an empty list means all of them, and an
 * empty HostIp or HostPort any. */
export interface PublishChange {
  add?: PortBindings;
  remove?: PortBindings;
}

/** Commit point: the kernel forwards the new ports. The caller holds the transition. */
export async function changePublished(
  engine: EngineContext,
  c: ContainerRecord,
  { add = {}, remove = {} }: PublishChange,
): Promise<void> {
  const bindings = without(c, remove);
  const exposed = { ...c.config.ExposedPorts };
  for (const [port, list] of Object.entries(add)) {
    parsePort(port);
    exposed[port] = {};
    const wanted = list?.length ? list : [{ HostIp: "", HostPort: "" }];
    bindings[port] = [...(bindings[port] ?? []), ...wanted];
  }
  await republish(engine, c, { add, remove });
  c.hostConfig = { ...c.hostConfig, PortBindings: bindings };
  c.config = { ...c.config, ExposedPorts: exposed };
}

async function republish(
  engine: EngineContext,
  c: ContainerRecord,
  { add, remove }: Required<PublishChange>,
): Promise<void> {
  if (!c.run) return;
  const record = publishingRecord(engine, c);
  const driver = engine.network.describe().find(({ Id }) => Id === record?.networkId)?.Driver;
  if (!record || driver !== "bridge") {
    throw new GantryError(
      "invalid",
      `container ${c.name} is on no network that publishes ports on the host: its ports are ` +
        "reached as they are",
    );
  }
  const gone = eachPort(record.ports).filter((port) => isNamed(port, remove));
  const requests: PublishRequest[] = publishRequests(
    {},
    {
      PortBindings: Object.fromEntries(
        Object.entries(add).map(([port, list]) => [
          port,
          list?.length ? list : [{ HostIp: "", HostPort: "" }],
        ]),
      ),
    },
  );
  await engine.network.republish(record, { add: requests, remove: gone, containerName: c.name });
}

function isNamed(port: PublishedPort, remove: PortBindings): boolean {
  return Object.entries(remove).some(([text, list]) => {
    const { number, protocol } = parsePort(text);
    if (port.containerPort !== number || port.protocol !== protocol) return false;
    if (!list?.length) return true;
    return list.some(
      ({ HostIp, HostPort }) =>
        (!HostIp || HostIp === port.hostIp) && (!HostPort || Number(HostPort) === port.hostPort),
    );
  });
}

/** The bindings that stay. Throws not-found for what is not published. */
function without(c: ContainerRecord, remove: PortBindings): PortBindings {
  const bindings: PortBindings = { ...c.hostConfig.PortBindings };
  for (const [port, list] of Object.entries(remove)) {
    const { number, protocol } = parsePort(port);
    const live = c.run?.attachments.some(({ ports }) =>
      eachPort(ports).some((one) => isNamed(one, { [port]: list ?? [] })),
    );
    const before = bindings[port] ?? [];
    const after = list?.length
      ? before.filter((one) => !list.some((named) => covers(named, one)))
      : [];
    if (before.length === after.length && !live) {
      throw new GantryError(
        "not-found",
        `container ${c.name} does not publish ${number}/${protocol}${onText(list)}`,
      );
    }
    if (after.length > 0) bindings[port] = after;
    else delete bindings[port];
  }
  return bindings;
}

function covers(named: PortBinding, one: PortBinding): boolean {
  return (
    (!named.HostIp || named.HostIp === (one.HostIp ?? "")) &&
    (!named.HostPort || !one.HostPort || named.HostPort === one.HostPort)
  );
}

function onText(list: readonly PortBinding[] | null | undefined): string {
  const { HostIp = "", HostPort = "" } = list?.[0] ?? {};
  return HostIp || HostPort ? ` on ${HostIp}:${HostPort}` : "";
}
