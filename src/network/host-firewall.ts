// Our table in the kernel: made whole with the first bridge, then changed by elements; made again
// when somebody flushes it (nft flush ruleset, a reload of nftables.service). Where nftables cannot
// be used it says so once, and the port holder carries what is published. So it does where another
// firewall drops what is forwarded, or the host does not forward.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { KeyedMutex, type Logger, messageOf } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { nft, planUnforward } from "./bridge.ts";
import type { AttachmentRecord } from "./contract.ts";
import { type ExposureOptions, firewallNetwork, rulesOf } from "./endpoint-rules.ts";
import {
  type FirewallShape,
  planFirewall,
  planRemoveFirewall,
  planSwitchForwards,
} from "./firewall.ts";
import {
  type EndpointRules,
  type Families,
  planAddNetwork,
  planChangeEndpoint,
  planRemoveNetwork,
  sizeOfRules,
} from "./firewall-elements.ts";
import { FirewallWatch } from "./firewall-watch.ts";
import { type ForeignDrop, ForeignFirewalls } from "./foreign-firewalls.ts";
import type { NetworkRecord } from "./network-record.ts";

export interface FirewallWorld {
  networks: readonly NetworkRecord[];
  live: Iterable<AttachmentRecord>;
}

export interface HostFirewallOptions {
  native: Native;
  log: Logger;
  name: string;
  iptables: boolean;
  exposure: ExposureOptions;
  /** A rule may be put into chains of others. */
  acceptInOthers: boolean;
  acceptMark?: { value: number; mask: number } | undefined;
  /** Where it is noted whose forwarding is guarded; goes with the machine's run. */
  guardFile: string;
  /** Makes a program run in the network's namespace; empty: in ours. */
  enter: readonly string[];
  /** Starts the watch; undefined: none. */
  watch: readonly string[] | undefined;
  world: () => FirewallWorld;
}

export class HostFirewall {
  readonly #o: HostFirewallOptions;
  readonly #foreign: ForeignFirewalls;
  readonly #changes = new KeyedMutex();
  /** Networks whose elements are in the table. */
  readonly #networks = new Set<string>();
  #watch: FirewallWatch | undefined;
  #state: "off" | "unmade" | "made" | "unusable";
  /** The host forwards packets. */
  #hostForwards = true;
  #forwards = true;
  #guards: Families = [];

  constructor(o: HostFirewallOptions) {
    this.#o = o;
    this.#state = o.iptables ? "unmade" : "off";
    this.#foreign = new ForeignFirewalls({
      native: o.native,
      log: o.log,
      table: o.name,
      may: o.acceptInOthers,
      enter: o.enter,
    });
  }

  /** The table's name while it is in the kernel. */
  get table(): string | undefined {
    return this.#state === "made" ? this.#o.name : undefined;
  }
  /** It is there, or will be. */
  get usable(): boolean {
    return this.#state === "made" || this.#state === "unmade";
  }
  /** Whether the kernel has nftables, as far as is known, whether or not we have a table. */
  get works(): boolean {
    return this.#state !== "unusable";
  }
  /** What arrives for published ports is translated; otherwise the port holder has it. */
  get forwards(): boolean {
    return this.#state === "made" && this.#forwards;
  }
  /** Chains of others that drop what is forwarded, as of the last look. */
  get foreignDrops(): readonly ForeignDrop[] {
    return this.#foreign.drops;
  }

  /** Puts a network under the table's rules; at first all networks and what is live with it, in
   * one transaction, so that nothing is open in between. `enables`: families whose forwarding is
   * about to be switched on for our sake. */
  async cover(network: NetworkRecord, enables: Families): Promise<void> {
    await this.#changes.run("table", async () => {
      if (this.#state === "made") {
        if (enables.some((family) => !this.#guards.includes(family))) {
          await this.#guard(enables);
          await this.#make();
        }
        if (this.#networks.has(network.id)) return;
        await this.#run(planAddNetwork(this.#o.name, this.#seen(network)));
        this.#networks.add(network.id);
        return;
      }
      if (this.#state !== "unmade") return;
      await this.#guard(enables);
      try {
        await this.#make();
      } catch (error) {
        this.#state = "unusable";
        this.#o.log.warn(
          "nftables cannot be used: containers reach other hosts only where those know the way " +
            "back, and published ports are carried by the port holder",
          { error: messageOf(error) },
        );
        return;
      }
      this.#state = "made";
      await this.#look();
      this.#startWatch();
    });
  }

  async uncover(network: NetworkRecord): Promise<void> {
    await this.#changes.run("table", async () => {
      if (this.#state !== "made" || !this.#networks.delete(network.id)) return;
      await this.#run(planRemoveNetwork(this.#o.name, this.#seen(network)));
    });
  }

  /** Says whether the host forwards packets: where it does not, the port holder has to carry. */
  async hostForwards(does: boolean): Promise<void> {
    this.#hostForwards = does;
    await this.#changes.run("table", () => this.#switch());
  }

  /** Ends the forwarding of an endpoint's ports. */
  async unforward(endpoint: AttachmentRecord): Promise<void> {
    const plan = this.table ? planUnforward(endpoint, this.table) : [];
    if (plan.length > 0) await this.#o.native.run({ host: plan });
  }

  /** Changes what an endpoint has forwarded to what `after` says. */
  async change(before: AttachmentRecord, after: AttachmentRecord): Promise<void> {
    const [old, wanted] = [rulesOf(before), rulesOf(after)];
    const change = { remove: difference(old, wanted), add: difference(wanted, old) };
    if (!this.table || sizeOfRules(change.remove) + sizeOfRules(change.add) === 0) return;
    await this.#run(planChangeEndpoint(this.table, change));
  }

  /** Ends watching; the table stays for what lives on. */
  close(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  async remove(): Promise<void> {
    this.close();
    await this.#changes.run("table", async () => {
      if (this.#state !== "made") return;
      await this.#foreign.remove();
      await this.#run(planRemoveFirewall(this.#o.name));
      this.#state = "unmade";
      this.#networks.clear();
    });
  }

  /** The kernel may have lost or changed it: the next cover() makes it anew. */
  reset(): void {
    if (this.#state !== "off") this.#state = "unmade";
    this.#networks.clear();
    this.#foreign.reset();
  }

  /** Looks at the host's firewalls again. */
  async refresh(): Promise<void> {
    await this.#changes.run("table", async () => {
      if (this.#state === "made") await this.#look();
    });
  }

  async #make(): Promise<void> {
    const { networks, live } = this.#o.world();
    const bridged = networks.filter(({ bridge }) => bridge);
    const { exposure, acceptMark, name } = this.#o;
    const shape: FirewallShape = {
      families: exposure.ip6tables ? [4, 6] : [4],
      forwards: this.#forwards,
      guards: this.#guards,
      ...(acceptMark && { acceptMark }),
    };
    const seen = bridged.map((one) => this.#seen(one));
    await this.#run(planFirewall(name, shape, seen, [...live].map(rulesOf)));
    this.#foreign.reset();
    this.#networks.clear();
    for (const { id } of bridged) this.#networks.add(id);
  }

  async #look(): Promise<void> {
    if (!(await this.#foreign.refresh())) {
      this.#o.log.warn("The firewall table was removed by someone else and is made again", {
        table: this.#o.name,
      });
      await this.#make();
      await this.#foreign.refresh();
    }
    await this.#switch();
  }

  async #switch(): Promise<void> {
    const forwards = this.#hostForwards && this.foreignDrops.every(({ accepted }) => accepted);
    if (forwards === this.#forwards) return;
    if (this.#state === "made") await this.#run(planSwitchForwards(this.#o.name, forwards));
    this.#forwards = forwards;
  }

  #startWatch(): void {
    const { watch, log } = this.#o;
    if (!watch || this.#watch) return;
    this.#watch = new FirewallWatch({ command: watch, log, changed: () => this.refresh() });
  }

  /** Forwarding that is on for our sake serves only ours, also after a restart of the daemon. */
  async #guard(enables: Families): Promise<void> {
    const { guardFile } = this.#o;
    const known = await readFile(guardFile, "utf8").catch(() => "");
    const guards = ([4, 6] as const).filter(
      (family) => enables.includes(family) || known.includes(String(family)),
    );
    this.#guards = guards;
    if (enables.length === 0) return;
    await mkdir(dirname(guardFile), { recursive: true });
    await writeFile(guardFile, `${guards.join(" ")}\n`);
  }

  #seen(network: NetworkRecord) {
    return firewallNetwork(network, this.#o.exposure);
  }
  async #run(data: ReturnType<typeof planFirewall>): Promise<void> {
    await this.#o.native.run({ host: [nft(data)] });
  }
}

function difference(of: EndpointRules, without: EndpointRules): EndpointRules {
  const rest = <T>(all: readonly T[], known: readonly T[]): T[] => {
    const keys = new Set(known.map((one) => JSON.stringify(one)));
    return all.filter((one) => !keys.has(JSON.stringify(one)));
  };
  return {
    forwardings: rest(of.forwardings, without.forwardings),
    openings: rest(of.openings, without.openings),
    links: rest(of.links ?? [], without.links ?? []),
  };
}
