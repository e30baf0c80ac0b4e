// Connect and disconnect. Commit point: the endpoint is in the container's record; a daemon that
// dies before it finds an interface that no record knows, and removes it at its next start.

import { readFileSync, writeFileSync } from "node:fs";
import { GantryError, Rollback } from "../../base/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type { EndpointSettings } from "../../spec/index.ts";
import { announceNetwork } from "../containers/announce.ts";
import { writeResolvConf } from "../containers/container-files.ts";
import { endpointDns } from "../containers/endpoint-names.ts";
import { checkCompany } from "../containers/endpoints.ts";
import { containerOf } from "../containers/host-config.ts";
import { hostNames } from "../containers/network-files.ts";
import { attachRequest, identity } from "../containers/networking.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import { requireNetwork } from "./find.ts";

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
    checkConnectable(c, network.Name);
    c.endpoints[network.Name] = settings;
    await using undo = new Rollback((what, error) =>
      engine.log.error(`Failed to undo ${what} of a connect`, { id, error }),
    );
    undo.defer("the endpoint", () => void delete c.endpoints[network.Name]);
    const { run } = c;
    if (run) {
      const names = endpointDns(engine, c, network, run.attachments);
      const record = await engine.network.connect({
        ...attachRequest(c, network, false),
        ...names,
        position: run.attachments.length === 0 ? 0 : 1,
        interfaceName: freeInterface(run.attachments),
        pid: run.pid,
      });
      undo.defer("the attachment", () => engine.network.disconnect(record, run));
      run.attachments.push(record);
      undo.defer("its record", () => void run.attachments.pop());
      if (record.dns) record.dns.pid = run.pid;
      if (names?.opensResolver) writeResolvConf(engine, c, run.attachments);
    }
    engine.containers.put(c);
    undo.commit();
    if (!run) return;
    changeHosts(engine, c, { add: run.attachments.at(-1)! });
    announceNetwork(engine, "connect", identity(network), id);
  });
}

function checkConnectable(c: ContainerRecord, network: string): void {
  if (c.intent === "removing" || c.dead) {
    throw new GantryError(
      "conflict",
      `container ${c.id} is marked for removal and cannot be connected or disconnected ` +
        "to the network",
    );
  }
  const mode = c.hostConfig.NetworkMode;
  if (containerOf(mode) !== undefined || c.config.NetworkDisabled) {
    throw new GantryError(
      "invalid",
      "container sharing network namespace with another container or host cannot be connected " +
        "to any other network",
    );
  }
  if (network in c.endpoints) {
    throw new GantryError(
      "forbidden",
      `endpoint with name ${c.name} already exists in network ${network}`,
    );
  }
  const others = Object.keys(c.endpoints);
  if (network === "host" || others.length > 0) {
    for (const name of [network, ...others]) checkCompany(name);
  }
}

export async function disconnectContainer(
  engine: EngineContext,
  ref: string,
  container: string,
): Promise<void> {
  const { id } = engine.containers.find(container);
  await engine.transitions.run(id, async () => {
    const c = engine.containers.find(id);
    const network = requireNetwork(engine, ref);
    if (network.Name === "host") checkCompany("host");
    if (!(network.Name in c.endpoints)) {
      throw new GantryError(
        "forbidden",
        `container ${c.id} is not connected to network ${network.Name}`,
      );
    }
    const record = c.run?.attachments.find(({ networkId }) => networkId === network.Id);
    if (record) await engine.network.disconnect(record, c.run);
    delete c.endpoints[network.Name];
    if (c.run) c.run.attachments = c.run.attachments.filter((other) => other !== record);
    engine.containers.put(c);
    if (record) changeHosts(engine, c, { remove: record });
    if (c.run) announceNetwork(engine, "disconnect", identity(network), id);
  });
}

function freeInterface(attachments: readonly AttachmentRecord[]): string {
  const taken = new Set(attachments.map(({ interfaceName }) => interfaceName));
  for (let number = 0; ; number++) if (!taken.has(`eth${number}`)) return `eth${number}`;
}

/** The container's own lines in its /etc/hosts; what it has written there itself is kept. */
function changeHosts(
  engine: EngineContext,
  c: ContainerRecord,
  { add, remove }: { add?: AttachmentRecord; remove?: AttachmentRecord },
): void {
  const names = hostNames(c.config.Hostname ?? "", c.config.Domainname ?? "");
  const linesOf = (record: AttachmentRecord | undefined): string[] =>
    [record?.ipv4, record?.ipv6].flatMap((ip) => (ip ? [`${ip.address}\t${names}`] : []));
  const path = engine.paths.container(c.id).hosts;
  try {
    const gone = new Set(linesOf(remove));
    const lines = readFileSync(path, "utf8").replace(/\n$/, "").split("\n");
    const kept = lines.filter((line) => !gone.has(line));
    writeFileSync(path, `${[...kept, ...linesOf(add)].join("\n")}\n`);
  } catch (error) {
    engine.log.warn("Failed to change the hosts file of a container", { id: c.id, error });
  }
}
