// The published ports of all endpoints: claimed and bound at the port holder, forwarded by the
// firewall, changed while a container runs, let go. Who has which is what the attachments on record
// say, so an earlier daemon's holder is brought in line with them.

import { GantryError, type Logger, messageOf, withAdvice } from "../base/index.ts";
import type { AttachmentRecord, NetworkLayer, PublishedPort, PublishRequest } from "./contract.ts";
import { gatewayModeOf } from "./endpoint-rules.ts";
import type { HostFirewall } from "./host-firewall.ts";
import type { NetworkRecord } from "./network-record.ts";
import { type Claimant, type ClaimRules, heldPorts, PortClaims } from "./port-claims.ts";
import type { HeldPort } from "./port-holder.ts";
import { subtractPorts } from "./port-ranges.ts";
import { PortSession } from "./port-session.ts";

export class Publishing {
  readonly #log: Logger;
  readonly #firewall: HostFirewall;
  readonly #ports: PortSession;
  #claims: PortClaims;

  constructor(o: {
    path: string;
    command: readonly string[];
    idleMs?: number | undefined;
    log: Logger;
    firewall: HostFirewall;
    /** By endpoint id; kept by the network layer. */
    live: ReadonlyMap<string, AttachmentRecord>;
    rules: ClaimRules;
  }) {
    this.#log = o.log;
    this.#firewall = o.firewall;
    this.#claims = new PortClaims(o.rules);
    this.#ports = new PortSession({
      path: o.path,
      command: o.command,
      idleMs: o.idleMs,
      log: o.log,
      wanted: () => [...o.live.values()].flatMap(heldPortsOf),
    });
  }

  /** The holder holds what these records say, and nothing else. */
  async start(live: readonly AttachmentRecord[], rules: ClaimRules): Promise<void> {
    this.#claims = new PortClaims(rules);
    for (const record of live) this.#claims.adopt(record);
    await this.#ports.reconcile();
  }

  /** Binds what is asked for and notes it in the record; who forwards is the attachment's plan. */
  async claim(
    record: AttachmentRecord,
    network: NetworkRecord,
    container: string,
    requests: readonly PublishRequest[],
  ): Promise<void> {
    checkCarried(record, requests);
    const holder = await this.#ports.holder();
    const claimant = claimantOf(record, container, network);
    record.ports = await this.#claims.claim(holder, claimant, requests);
  }

  /** Ends the forwarding of an endpoint's ports and lets them go. */
  async release(record: AttachmentRecord): Promise<void> {
    if (record.ports.length === 0 && !record.reaches) return;
    await this.#firewall.unforward(record).catch((error) => {
      this.#log.warn("Failed to end the forwarding of ports", { error: messageOf(error) });
    });
    if (record.ports.length === 0) return;
    await this.#ports.unbind(record.endpointId);
    this.#claims.release(record.endpointId);
  }

  /** See NetworkLayer.republish(). */
  async change(
    record: AttachmentRecord,
    network: NetworkRecord,
    { add, remove, containerName }: Parameters<NetworkLayer["republish"]>[1],
  ): Promise<void> {
    const { endpointId } = record;
    const before = { ...record };
    const kept = subtractPorts(record.ports, remove);
    checkNew(kept, add, containerName);
    checkCarried(record, add);
    const holder = await this.#ports.holder();
    this.#claims.release(endpointId);
    this.#claims.adopt({ ...record, ports: kept });
    let claimed: PublishedPort[] = [];
    try {
      claimed = await this.#claims.claim(holder, claimantOf(record, containerName, network), add);
      await this.#firewall.change(before, { ...record, ports: [...kept, ...claimed] });
    } catch (error) {
      const fresh = subtractPorts(claimed, before.ports);
      await this.#claims.giveBack(holder, endpointId, fresh);
      this.#claims.adopt(before);
      await Promise.all(heldPortsOf(before).map((port) => holder.bind(port)));
      throw error;
    }
    record.ports = [...kept, ...claimed];
    await this.#claims.unbind(holder, endpointId, subtractPorts(remove, claimed));
  }

  /** What the holder really has for an endpoint; undefined where none runs. */
  async held(endpointId: string): Promise<HeldPort[] | undefined> {
    const holder = await this.#ports.running();
    return (await holder?.list())?.filter(({ key }) => key === endpointId);
  }

  close(): Promise<void> {
    return this.#ports.close();
  }
}

const claimantOf = (
  record: AttachmentRecord,
  container: string,
  network?: NetworkRecord,
): Claimant => ({
  endpointId: record.endpointId,
  container,
  ipv4: record.ipv4?.address,
  ipv6: record.ipv6?.address,
  // The documented default "0.0.0.0" means every address of both families.
  defaultHostIp: network?.bridge?.hostBindingIp.replace(/^0\.0\.0\.0$/, ""),
  ...(network && { routed: ([4, 6] as const).filter(isRouted(network)) }),
});
const isRouted = (network: NetworkRecord) => (family: 4 | 6) =>
  gatewayModeOf(network, family) === "routed";

/** The port holder carries TCP and UDP only. */
function checkCarried({ carried }: AttachmentRecord, requests: readonly PublishRequest[]): void {
  if (!carried?.includes(4) || !requests.some(({ protocol }) => protocol === "sctp")) return;
  throw new GantryError(
    "invalid",
    "SCTP ports cannot be published where the host's input rules apply to published ports " +
      "(publish-filter: input)",
  );
}

/** The holder takes a port that the endpoint has for a change of its target: say it before. */
function checkNew(
  kept: readonly PublishedPort[],
  add: readonly PublishRequest[],
  containerName: string,
): void {
  for (const { protocol, hostPort, hostPortEnd } of add) {
    const twice = kept.find((port) => port.protocol === protocol && port.hostPort === hostPort);
    if (hostPort === 0 || hostPort !== hostPortEnd || !twice) continue;
    const message = `Bind for ${twice.hostIp}:${hostPort} failed: port is already allocated`;
    throw withAdvice(new GantryError("conflict", message), {
      cause: `container ${containerName} has published it itself`,
    });
  }
}

const heldPortsOf = (record: AttachmentRecord) => heldPorts(claimantOf(record, ""), record.ports);
