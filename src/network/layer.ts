// The network layer as the engine uses it. Nothing is made on the host before the first container
// wants a bridge: a daemon that only runs `--network none` never touches the host's network.
//
// What must survive is on record (networks, leases); the kernel's state is derived: at start the
// firewall table is replaced whole, strays of a crash are removed, and the port holder is told
// what to hold.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { GantryError, KeyedMutex, type Logger, messageOf, Rollback } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { EndpointSettings } from "../spec/index.ts";
import { formatMac, macBytes } from "./addresses.ts";
import { enabledBy, planLeave, sysctlsOf, writeSysctl } from "./bridge.ts";
import { BRIDGE_NAME } from "./bridge-options.ts";
import { forgetConnections } from "./connections.ts";
import type {
  Attachment,
  AttachmentRecord,
  CreateNetworkRequest,
  EndpointDns,
  ExplainLine,
  NetworkLayer,
} from "./contract.ts";
import { newNetwork } from "./create-network.ts";
import { planCloseSandbox } from "./dns-sandbox.ts";
import { DnsSession } from "./dns-session.ts";
import { driverOf, explainMissingLink, type HostTraits } from "./driver.ts";
import { checkAddresses, leaseOnceFree, newMac, releaseAddresses } from "./endpoint-lease.ts";
import { endpointOptions, planSysctls } from "./endpoint-options.ts";
import { exposureOf, reachesOf } from "./endpoint-rules.ts";
import { explainEndpoint } from "./explain.ts";
import { type Gateways, leadGateways } from "./gateway.ts";
import type { HostFirewall } from "./host-firewall.ts";
import { type HostState, readHostState } from "./host-state.ts";
import { blocksOf, type Collection, Ipam, type Lease } from "./ipam.ts";
import { layerFirewall } from "./layer-firewall.ts";
import { describeNetwork, type NetworkRecord, newId } from "./network-record.ts";
import { NetworkUsers } from "./network-users.ts";
import { linksWithAddresses, occupiedByHost } from "./occupied.ts";
import type { NetworkOptions, NetworkSurroundings } from "./options.ts";
import type { ClaimRules } from "./port-claims.ts";
import { predefinedNetworks } from "./predefined.ts";
import { previewEndpoint } from "./preview.ts";
import { Publishing } from "./publishing.ts";
import { planRemoveStrays } from "./strays.ts";

const SOCKET_NAME = "ports.sock";
const RESOLVER_SOCKET_NAME = "resolver.sock";
const SLOT_LAST_WORD = 49;
/** Of a plan that is the network's alone; below the slots of attachments. */
const SLOT_JOINED = 39;
const PREDEFINED = new Set(["bridge", "host", "none"]);

type AttachRequest = Parameters<NetworkLayer["attach"]>[0];

export class Networks implements NetworkLayer {
  readonly #native: Native;
  readonly #options: NetworkOptions;
  readonly #log: Logger;
  readonly #alias: string;
  readonly #records: Collection<NetworkRecord>;
  readonly #ipam: Ipam;
  readonly #dns: DnsSession;
  readonly #live = new Map<string, AttachmentRecord>();
  readonly #making = new KeyedMutex();
  readonly #users = new NetworkUsers();
  readonly #leaving = new Set<Promise<void>>();
  #host: HostState;
  #networks: NetworkRecord[];
  /** Bridges that are known to be up, by network id. */
  readonly #made = new Set<string>();
  readonly #firewall: HostFirewall;
  readonly #publishing: Publishing;

  constructor(
    surroundings: NetworkSurroundings & {
      command: readonly string[];
      resolver: readonly string[];
    },
    host: HostState,
  ) {
    const { native, options, log, execRoot, records } = surroundings;
    this.#native = native;
    this.#options = options;
    this.#log = log;
    this.#host = host;
    this.#alias = `gantry ${execRoot}`;
    this.#records = records.collection<NetworkRecord>("networks");
    this.#ipam = new Ipam(records.collection<Lease>("network-leases"));
    this.#dns = new DnsSession({
      path: join(execRoot, RESOLVER_SOCKET_NAME),
      native,
      command: surroundings.resolver,
      idleMs: surroundings.portHolderIdleMs,
      log,
      redirects: () => this.#firewall.works,
    });
    this.#networks = predefinedNetworks(this.#records, options, host, this.#alias);
    for (const [, record] of this.#records.all()) {
      if (!PREDEFINED.has(record.name)) this.#networks.push(record);
    }
    for (const network of this.#networks) this.#ipam.open(network.id, network.pools);
    this.#firewall = layerFirewall(surroundings, {
      bridge: this.#networks.find(({ name }) => name === "bridge")?.bridge?.name,
      world: () => ({ networks: this.#networks, live: this.#live.values() }),
    });
    this.#publishing = new Publishing({
      path: join(execRoot, SOCKET_NAME),
      command: surroundings.command,
      idleMs: surroundings.portHolderIdleMs,
      log,
      firewall: this.#firewall,
      live: this.#live,
      rules: this.#claimRules(),
    });
  }

  describe(): ReturnType<NetworkLayer["describe"]> {
    return this.#networks.map(describeNetwork);
  }

  async start(live: readonly AttachmentRecord[]): Promise<void> {
    this.#host = await readHostState(this.#native);
    this.#firewall.reset();
    this.#made.clear();
    this.#live.clear();
    for (const record of live) {
      this.#live.set(record.endpointId, record);
      for (const ip of [record.ipv4, record.ipv6]) {
        const { networkId, endpointId } = record;
        if (ip) this.#ipam.adopt({ networkId, endpointId, address: ip.address });
      }
    }
    const dead = this.#ipam.reconcile(new Set(this.#live.keys()));
    this.#ipam.avoid(this.#host.addresses.map(({ address }) => address));
    if (dead.length > 0)
      this.#log.info("Released addresses of dead endpoints", { dead: dead.length });
    await this.#removeStrays(dead);
    for (const network of this.#networks) await this.#takeUp(network);
    await Promise.all([this.#publishing.start(live, this.#claimRules()), this.#dns.start(live)]);
  }

  async attach(request: AttachRequest): Promise<Attachment> {
    const network = this.#networkOf(request.networkName);
    using _joins = this.#users.join(network);
    const mac = request.macAddress || request.settings.MacAddress;
    if (mac) macBytes(mac);
    const own = endpointOptions(request.settings);
    await this.#ensure(network);
    await using undo = new Rollback((what, error) =>
      this.#log.error(`Failed to release ${what}`, { error: messageOf(error) }),
    );
    const endpointId = newId();
    const link = network.bridge ? `veth${randomBytes(4).toString("hex").slice(1)}` : "";
    const leases = await leaseOnceFree(
      this.#ipam,
      network,
      { id: endpointId, link },
      request,
      this.#leaving,
    );
    undo.defer("the addresses", () => releaseAddresses(this.#ipam, network.id, endpointId, leases));
    const record: AttachmentRecord = {
      networkId: network.id,
      endpointId,
      interfaceName: request.interfaceName ?? "eth0",
      hostInterface: link,
      macAddress: mac ? formatMac(macBytes(mac)) : newMac(leases),
      ...(leases.ipv4 && { ipv4: leases.ipv4 }),
      ...(leases.ipv6 && { ipv6: leases.ipv6 }),
      ...(own.linkLocal.length > 0 && { linkLocal: own.linkLocal }),
      ports: [],
      ...exposureOf(network, this.#options),
      ...reachesOf(network, request.reaches),
      ...(request.dns && { dns: request.dns }),
    };
    if (request.publish.length > 0 && driverOf(network).publishes) {
      const container = request.containerName ?? request.containerId.slice(0, 12);
      await this.#publishing.claim(record, network, container, request.publish);
    }
    undo.defer("the ports", () => this.#publishing.release(record));
    await this.#dns.join(record);
    this.#live.set(endpointId, record);
    undo.commit();
    return this.#attachment(network, record, request);
  }

  preview(request: AttachRequest): Attachment {
    const network = this.#networkOf(request.networkName);
    const record = previewEndpoint(this.#ipam, network, request, this.#options);
    return this.#attachment(network, record, request);
  }

  async detach(record: AttachmentRecord): Promise<void> {
    this.#live.delete(record.endpointId);
    await this.#attempt("take names back", () => this.#dns.leave(record));
    await this.#publishing.release(record);
    // Nobody waits for the interface to go (the kernel takes milliseconds), but the address stays
    // leased until it has: until then the dying namespace would answer for it.
    const leaving = this.#leave(record).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  async reach(record: AttachmentRecord, ports: Parameters<NetworkLayer["reach"]>[1]) {
    const network = this.#networks.find(({ id }) => id === record.networkId);
    const { reaches: _, ...others } = record;
    const after = { ...others, ...(network && reachesOf(network, ports)) };
    await this.#firewall.change(record, after);
    if (after.reaches) record.reaches = after.reaches;
    else delete record.reaches;
  }

  async republish(
    record: AttachmentRecord,
    change: Parameters<NetworkLayer["republish"]>[1],
  ): Promise<void> {
    const network = this.#networkOf(record.networkId);
    await this.#publishing.change(record, network, change);
  }

  async rename(
    record: AttachmentRecord,
    dns: Partial<Pick<EndpointDns, "names" | "pointer" | "servers">>,
  ): Promise<void> {
    const own = record.dns;
    if (own) await this.#dns.rename(record, () => void Object.assign(own, dns));
  }

  /** An endpoint may be older than its network's record: a link is removed all the same. */
  #planLeave(record: AttachmentRecord): Operation[] {
    const network = this.#networks.find(({ id }) => id === record.networkId);
    return network ? driverOf(network).planLeave(record) : planLeave(record);
  }

  async #leave(record: AttachmentRecord): Promise<void> {
    if (!(await this.#tryRun("remove an interface", this.#planLeave(record)))) return;
    if (record.ports.length > 0) await forgetConnections(this.#native, record);
    // Where it cannot be written the address stays taken until the next start.
    const release = () => releaseAddresses(this.#ipam, record.networkId, record.endpointId, record);
    await this.#attempt("release an address", async () => release());
  }

  async createNetwork(request: CreateNetworkRequest): Promise<{ id: string; warnings: string[] }> {
    return this.#making.run("networks", async () => {
      this.#host = await readHostState(this.#native);
      const { addressPools, mtu, defaultHostIp, defaultNetworkOpts } = this.#options;
      const Options = { ...defaultNetworkOpts[request.Driver || "bridge"], ...request.Options };
      const { record, warnings } = newNetwork(
        { ...request, Options },
        {
          existing: this.#networks,
          links: linksWithAddresses(this.#host),
          routed: occupiedByHost(this.#host, this.#networks, request.Options?.[BRIDGE_NAME]),
          blocks: blocksOf(addressPools),
          defaults: { mtu, hostBindingIp: defaultHostIp },
        },
      );
      await using undo = new Rollback((what, error) =>
        this.#log.error(`Failed to remove ${what}`, { error: messageOf(error) }),
      );
      this.#records.put(record.id, record);
      this.#networks.push(record);
      undo.defer("the network", () => this.#drop(record));
      this.#ipam.open(record.id, record.pools);
      this.#ipam.avoid(this.#host.addresses.map(({ address }) => address));
      if (!record.configures) await this.#ensure(record);
      undo.commit();
      return { id: record.id, warnings };
    });
  }

  async removeNetwork(ref: string): Promise<void> {
    await this.#making.run("networks", async () => {
      const record = this.#networks.find(({ name, id }) => name === ref || id === ref);
      if (!record) throw new GantryError("not-found", `network ${ref} not found`);
      if (PREDEFINED.has(record.name)) {
        throw new GantryError(
          "forbidden",
          `${record.name} is a pre-defined network and cannot be removed`,
        );
      }
      if (
        this.#networks.some(({ configFrom }) => record.configures && configFrom === record.name)
      ) {
        throw new GantryError("forbidden", `configuration network "${record.name}" is in use`);
      }
      using _removes = this.#users.remove(record, this.#live.values());
      await this.#drop(record);
    });
  }

  async #drop(record: NetworkRecord): Promise<void> {
    await Promise.all(this.#leaving);
    if (this.#made.delete(record.id)) {
      if (record.bridge) {
        await this.#attempt("uncover a network", () => this.#firewall.uncover(record));
      }
      const parent = record.lan?.parent;
      const shared = this.#networks.some(
        (other) => other !== record && other.lan?.parent === parent,
      );
      if (!parent || !shared) {
        await this.#tryRun("remove an interface", driverOf(record).planRemove(record));
      }
    }
    this.#records.delete(record.id); // where this fails the network is still there, to be made again
    this.#networks = this.#networks.filter(({ id }) => id !== record.id);
    this.#ipam.close(record.id);
  }

  async connect(request: AttachRequest & { pid: number }): Promise<AttachmentRecord> {
    const attachment = await this.attach(request);
    const netns = SLOT_JOINED;
    try {
      await this.#native.run({
        host: [
          { op: "open", path: `/proc/${request.pid}/ns/net`, flags: 0, to: netns },
          ...attachment.host({ pid: 0, netns }),
        ],
        teardown: attachment.teardown(),
      });
    } catch (error) {
      await this.detach(attachment.record);
      throw error;
    }
    return attachment.record;
  }

  async disconnect(record: AttachmentRecord, { pid }: { pid?: number } = {}): Promise<void> {
    const network = this.#networks.find(({ id }) => id === record.networkId);
    const plan = network && driverOf(network).planDisconnect?.(record, SLOT_JOINED);
    if (plan && pid) {
      const path = `/proc/${pid}/ns/net`;
      await this.#tryRun("remove an interface", [
        { op: "open", path, flags: 0, to: SLOT_JOINED },
        ...plan,
      ]);
    }
    await this.detach(record);
    await Promise.all(this.#leaving);
  }

  checkEndpoint(networkRef: string, settings: EndpointSettings): void {
    const network = this.#networks.find(({ id, name }) => id === networkRef || name === networkRef);
    endpointOptions(settings);
    if (network) checkAddresses(network, settings);
  }

  usage(networkId: string): ReturnType<NetworkLayer["usage"]> {
    return this.#ipam.usage(networkId);
  }

  async setGateways(gateways: Gateways, pid: number): Promise<void> {
    const networkOf = ({ networkId }: AttachmentRecord) =>
      this.#networks.find(({ id }) => id === networkId);
    await leadGateways(this.#native, gateways, networkOf, pid);
  }

  explain(o: Parameters<NetworkLayer["explain"]>[0]): Promise<ExplainLine[]> {
    const network = this.#networkOf(o.record.networkId);
    const held = (endpointId: string) => this.#publishing.held(endpointId);
    const around = { native: this.#native, firewall: this.#firewall, held };
    return explainEndpoint({ ...o, network }, around);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#leaving);
    await Promise.all([this.#publishing.close(), this.#dns.close()]);
    this.#firewall.close();
    if (this.#live.size > 0) return;
    // Nobody is left on the bridges: leave the host as it was found.
    for (const network of this.#networks) {
      if (!this.#made.delete(network.id)) continue;
      if (network.name !== "bridge" || this.#options.bridge === "") {
        await this.#tryRun("remove the bridge", driverOf(network).planRemove(network));
      }
    }
    await this.#attempt("remove the firewall", () => this.#firewall.remove());
  }

  #attachment(
    network: NetworkRecord,
    record: AttachmentRecord,
    { position = 0, gatewayOf, settings, opensResolver = false }: AttachRequest,
  ): Attachment {
    const key = opensResolver ? record.dns?.sandbox : undefined;
    const driver = driverOf(network);
    const { sysctls } = endpointOptions(settings);
    const plan = {
      network,
      endpoint: record,
      host: this.#traits(),
      gatewayOf: gatewayOf ?? (position === 0 ? [4, 6] : []),
      ...(this.#firewall.table && { table: this.#firewall.table }),
    };
    return {
      record,
      host: (slots) => [
        ...driver.planAttach(plan, slots),
        ...planSysctls(record, sysctls, { ...slots, ipv6: this.#host.ipv6Stack }),
        ...(key ? this.#dns.planOpen(key, slots.netns, record.dns?.pid) : []),
      ],
      teardown: () => [
        ...driver.planLeave(record),
        ...(key ? planCloseSandbox({ key, path: this.#dns.path, slot: SLOT_LAST_WORD }) : []),
      ],
    };
  }

  #networkOf(name: string): NetworkRecord {
    const found = this.#networks.find((network) => network.name === name || network.id === name);
    if (!found) throw new GantryError("not-found", `network ${name} not found`);
    driverOf(found);
    return found;
  }

  /** At start: what a live or crashed daemon has left of a network is made whole again. */
  async #takeUp(network: NetworkRecord): Promise<void> {
    if (!network.bridge) return;
    const link = this.#host.links.find(({ name }) => name === network.bridge?.name);
    const used = [...this.#live.values()].some(({ networkId }) => networkId === network.id);
    if (!used && !(link && link.alias === this.#alias)) return;
    await this.#ensure(network);
  }

  async #removeStrays(dead: readonly Lease[]): Promise<void> {
    const plan = planRemoveStrays({
      host: this.#host,
      networks: this.#networks,
      live: this.#live.values(),
      dead,
    });
    if (plan.length === 0) return;
    this.#log.info("Removing interfaces of dead containers", { count: plan.length });
    await this.#tryRun("remove stray interfaces", plan);
  }

  /** Makes the bridge, IP forwarding and the firewall once, however many ask at once. */
  #ensure(network: NetworkRecord): Promise<void> {
    if (this.#made.has(network.id)) return Promise.resolve();
    return this.#making.run("host", async () => {
      if (this.#made.has(network.id)) return;
      const plan = driverOf(network).planNetwork(network, this.#traits(), this.#alias);
      await this.#native.run({ host: plan }).catch((error) => {
        throw explainMissingLink(network, error);
      });
      if (!network.bridge) {
        this.#made.add(network.id);
        return;
      }
      const sysctls = sysctlsOf(network, this.#host, this.#options.ipForward);
      await this.#firewall.cover(network, this.#options.ipForwardNoDrop ? [] : enabledBy(sysctls));
      // Where /proc/sys is read-only, whoever set it up has to have done this.
      let forwards = this.#host.ipForward || this.#options.ipForward;
      for (const [path, value] of sysctls) {
        const done = await this.#tryRun(`set ${path} to ${value}`, [writeSysctl(path, value)]);
        if (!done && path === "net/ipv4/ip_forward") forwards = false;
      }
      await this.#firewall.hostForwards(forwards);
      this.#made.add(network.id);
    });
  }

  #traits(): HostTraits {
    const { ipv6Stack, bridgeNetfilter } = this.#host;
    return { ipv6: ipv6Stack, filtersFrames: this.#firewall.usable && bridgeNetfilter };
  }

  #claimRules(): ClaimRules {
    const ip = this.#options.defaultHostIp;
    return {
      // The documented default "0.0.0.0" means every address of both families.
      defaultHostIp: ip === "0.0.0.0" ? "" : ip,
      ipv6: this.#host.ipv6,
      crosses: this.#options.userlandProxy,
      range: this.#host.portRange,
    };
  }

  #tryRun(what: string, host: readonly Operation[]): Promise<boolean> {
    return this.#attempt(what, () => this.#native.run({ host }));
  }

  async #attempt(what: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#log.warn(`Failed to ${what}`, { error: messageOf(error) });
      return false;
    }
  }
}
