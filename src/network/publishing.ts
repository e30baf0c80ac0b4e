// The published ports of all endpoints: claimed and bound at the port holder, forwarded by the
// firewall, changed while a container runs, let go. Who has which is what the attachments on record
// say, so an earlier daemon's holder is brought in line with them.

import { GantryError, type Logger, messageOf } from "../base/index.ts";
import type { AttachmentRecord, NetworkLayer, PublishedPort, PublishRequest } from "./contract.ts";
import type { HostFirewall } from "./host-firewall.ts";
import { type Claimant, type ClaimRules, heldPort, PortClaims } from "./port-claims.ts";
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
    container: string,
    requests: readonly PublishRequest[],
  ): Promise<void> {
    const holder = await this.#ports.holder();
    record.ports = await this.#claims.claim(holder, claimantOf(record, container), requests);
  }

  /** Ends the forwarding of an endpoint's ports and lets them go. */
  async release(record: AttachmentRecord): Promise<void> {
    if (record.ports.length === 0) return;
    await this.#firewall.unforward(record).catch((error) => {
      this.#log.warn("Failed to end the forwarding of ports", { error: messageOf(error) });
    });
    await this.#ports.unbind(record.endpointId);
    this.#claims.release(record.endpointId);
  }

  /** See NetworkLayer.republish(). */
  async change(
    record: AttachmentRecord,
    { add, remove, containerName }: Parameters<NetworkLayer["republish"]>[1],
  ): Promise<void> {
    const { endpointId } = record;
    const before = { ...record };
    const kept = record.ports.filter((port) => !remove.some((gone) => same(port, gone)));
    checkNew(kept, add, containerName);
    const holder = await this.#ports.holder();
    for (const port of remove) this.#claims.forget(endpointId, port);
    let claimed: PublishedPort[] = [];
    try {
      claimed = await this.#claims.claim(holder, claimantOf(record, containerName), add);
      await this.#firewall.change(before, { ...record, ports: [...kept, ...claimed] });
    } catch (error) {
      const fresh = claimed.filter((port) => !before.ports.some((old) => same(old, port)));
      await this.#claims.giveBack(holder, endpointId, fresh);
      this.#claims.adopt(before);
      await Promise.all(heldPortsOf(before).map((port) => holder.bind(port)));
      throw error;
    }
    record.ports = [...kept, ...claimed];
    const gone = remove.filter((port) => !claimed.some((one) => same(one, port)));
    await Promise.all(
      gone.map(({ protocol, hostIp, hostPort }) =>
        holder.unbind(endpointId, { protocol, ip: hostIp, port: hostPort }),
      ),
    );
  }

  close(): Promise<void> {
    return this.#ports.close();
  }
}

const same = (a: PublishedPort, b: PublishedPort): boolean =>
  a.protocol === b.protocol && a.hostIp === b.hostIp && a.hostPort === b.hostPort;

const claimantOf = (record: AttachmentRecord, container: string): Claimant => ({
  endpointId: record.endpointId,
  container,
  ipv4: record.ipv4?.address,
  ipv6: record.ipv6?.address,
});

/** The holder takes a port that the endpoint has for a change of its target: say it before. */
function checkNew(
  kept: readonly PublishedPort[],
  add: readonly PublishRequest[],
  containerName: string,
): void {
  for (const { protocol, hostPort, hostPortEnd } of add) {
    const twice = kept.find((port) => port.protocol === protocol && port.hostPort === hostPort);
    if (hostPort === 0 || hostPort !== hostPortEnd || !twice) continue;
    throw new GantryError(
      "conflict",
      `Bind for ${twice.hostIp}:${hostPort} failed: port is already allocated ` +
        `(published by container ${containerName} itself)`,
    );
  }
}

const heldPortsOf = (record: AttachmentRecord) =>
  record.ports.map((port) => heldPort(claimantOf(record, ""), port));
