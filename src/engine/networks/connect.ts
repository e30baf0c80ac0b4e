// Connect and disconnect, also while the container runs: what it has open stays open. Commit point:
// the endpoint is in the container's record; a daemon that dies before it finds an interface that
// no record knows, and removes it at its next start.

import { GantryError, messageOf, Rollback } from "../../base/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";
import { announceNetwork } from "../containers/announce.ts";
import { writeResolvConf } from "../containers/container-files.ts";
import { endpointDns } from "../containers/endpoint-names.ts";
import { checkCompany, checkSettings } from "../containers/endpoints.ts";
import { settleGateway } from "../containers/gateway.ts";
import { containerOf } from "../containers/host-config.ts";
import { changeHosts } from "../containers/hosts-lines.ts";
import { openLinkedPorts } from "../containers/link-ports.ts";
import { hostNames } from "../containers/network-files.ts";
import { attachRequest } from "../containers/networking.ts";
import type { ContainerRecord, RunFacts } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Network } from "../contract.ts";
import { identity, networkNamed, requireNetwork } from "./find.ts";

export async function connectContainer(
  engine: EngineContext,
  ref: string,
  container: string,
  settings: EndpointSettings,
): Promise<void> {
  const { id } = engine.containers.find(container);
  await engine.transitions.run(id, async () => {
    const c = engine.containers.find(id);
    const network = requireNetwork(engine, ref);
    checkSettings(network.Name, settings);
    checkConnectable(c, network);
    engine.network.checkEndpoint(network.Id, settings);
    await using undo = new Rollback((what, error) =>
      engine.log.error(`Failed to undo ${what} of a connect`, { id, error }),
    );
    c.endpoints[network.Name] = settings;
    undo.defer("the endpoint", () => void delete c.endpoints[network.Name]);
    const { run } = c;
    if (!run) {
      engine.containers.put(c);
      undo.commit();
      return;
    }
    run.movesGateway = true;
    undo.defer("the move", () => void delete run.movesGateway);
    engine.containers.put(c);
    undo.defer("the gateway", async () => {
      delete c.endpoints[network.Name]; // before it is on record again
      await settleGateway(engine, c);
      delete run.movesGateway;
      engine.containers.putFact(c);
    });
    const record = await join(engine, c, run, network, undo);
    await settleGateway(engine, c);
    delete run.movesGateway;
    engine.containers.putFact(c);
    undo.commit();
    await openLinkedPorts(engine, c, run.attachments);
    await changeOwnLines(engine, c, { add: record });
    announceNetwork(engine, "connect", identity(network), id);
  });
}

/** Puts a running container on a network, beside those that it is on. */
async function join(
  engine: EngineContext,
  c: ContainerRecord,
  run: RunFacts,
  network: Network,
  undo: Rollback,
): Promise<AttachmentRecord> {
  const names = endpointDns(engine, c, network, run.attachments);
  const record = await engine.network.connect({
    ...attachRequest(c, network, run.attachments),
    ...names,
    publish: [],
    gatewayOf: [],
    pid: run.pid,
  });
  undo.defer("the attachment", async () => {
    run.attachments = run.attachments.filter((other) => other !== record);
    await engine.network.disconnect(record, run);
  });
  run.attachments.push(record);
  if (record.dns) record.dns.pid = run.pid;
  if (names?.opensResolver) writeResolvConf(engine, c, run.attachments);
  return record;
}

function checkConnectable(c: ContainerRecord, network: Network): void {
  if (c.intent === "removing" || c.dead) {
    throw new GantryError(
      "conflict",
      `container ${c.id} is marked for removal and cannot be connected or disconnected ` +
        "to the network",
    );
  }
  if (network["ConfigOnly"] === true) {
    throw new GantryError(
      "forbidden",
      `network ${network.Name} is only a configuration for other networks: no container can be ` +
        "on it",
    );
  }
  if (containerOf(c.hostConfig.NetworkMode) !== undefined || c.config.NetworkDisabled) {
    throw new GantryError(
      "invalid",
      "container sharing network namespace with another container or host cannot be connected " +
        "to any other network",
    );
  }
  if (network.Name in c.endpoints) {
    throw new GantryError(
      "forbidden",
      `endpoint with name ${c.name} already exists in network ${network.Name}`,
    );
  }
  const others = Object.keys(c.endpoints);
  if (network.Name === "host") {
    throw new GantryError(
      "forbidden",
      "cannot connect container to host network - container must be created in host network mode",
    );
  }
  if (others.length > 0) {
    for (const name of [network.Name, ...others]) checkCompany(name);
  }
}

/** `force`: also an endpoint whose network is gone from the records. */
export async function disconnectContainer(
  engine: EngineContext,
  ref: string,
  container: string,
  { force }: { force: boolean },
): Promise<void> {
  const { id } = engine.containers.find(container);
  await engine.transitions.run(id, async () => {
    const c = engine.containers.find(id);
    if (force && ref in c.endpoints && !networkNamed(engine, ref)) {
      delete c.endpoints[ref];
      engine.containers.putFact(c);
      return;
    }
    const network = requireNetwork(engine, ref);
    if (network.Name === "host") checkCompany("host");
    if (!(network.Name in c.endpoints)) {
      throw new GantryError(
        "forbidden",
        `container ${c.id} is not connected to network ${network.Name}`,
      );
    }
    const { run } = c;
    const record = run?.attachments.find(({ networkId }) => networkId === network.Id);
    if (run && record) await leave(engine, c, run, record, network.Name);
    else {
      delete c.endpoints[network.Name];
      engine.containers.putFact(c);
    }
    if (run) announceNetwork(engine, "disconnect", identity(network), id);
  });
}

/** Once the interface is gone the container is off the network, whatever becomes of the rest. */
async function leave(
  engine: EngineContext,
  c: ContainerRecord,
  run: RunFacts,
  record: AttachmentRecord,
  network: string,
): Promise<void> {
  run.movesGateway = true;
  run.leaves = network;
  engine.containers.putFact(c);
  const { ports } = record;
  const others = run.attachments.filter((other) => other !== record);
  await openLinkedPorts(engine, c, others);
  await engine.network.disconnect(record, run);
  delete c.endpoints[network];
  run.attachments = others;
  try {
    await settleGateway(engine, c, ports);
  } catch (error) {
    engine.log.warn("Default route and ports did not follow to another network", {
      id: c.id,
      error: messageOf(error),
    });
  }
  delete run.movesGateway;
  delete run.leaves;
  engine.containers.putFact(c);
  await changeOwnLines(engine, c, { remove: record });
}

/** At boot: what a daemon that died has left half done of a connect is undone, of a disconnect is
 * done, and default routes and ports follow. */
export async function finishMoves(engine: EngineContext, c: ContainerRecord): Promise<void> {
  const { run } = c;
  if (!run?.movesGateway) return;
  const { leaves } = run;
  const record = run.attachments.find(
    ({ networkId }) => leaves && networkId === networkNamed(engine, leaves)?.Id,
  );
  if (leaves && record) return leave(engine, c, run, record, leaves);
  const attached = new Set(run.attachments.map(({ networkId }) => networkId));
  for (const name of Object.keys(c.endpoints)) {
    const network = networkNamed(engine, name);
    if (!network || (!attached.has(network.Id) && network.Driver !== "null")) {
      delete c.endpoints[name];
    }
  }
  await settleGateway(engine, c).catch((error) =>
    engine.log.warn("Default route and ports of a container may be stale", { id: c.id, error }),
  );
  delete run.movesGateway;
  delete run.leaves;
  engine.containers.putFact(c);
}

/** The container's own lines in its /etc/hosts. */
async function changeOwnLines(
  engine: EngineContext,
  c: ContainerRecord,
  { add, remove }: { add?: AttachmentRecord; remove?: AttachmentRecord },
): Promise<void> {
  const names = hostNames(c.config.Hostname ?? "", c.config.Domainname ?? "");
  const linesOf = (record: AttachmentRecord | undefined): string[] =>
    [record?.ipv4, record?.ipv6].flatMap((ip) => (ip ? [`${ip.address}\t${names}`] : []));
  const gone = new Set(linesOf(remove));
  await changeHosts(engine, c, (lines) => [
    ...lines.filter((line) => !gone.has(line)),
    ...linesOf(add),
  ]);
}
