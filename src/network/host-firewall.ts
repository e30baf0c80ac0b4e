// Our table in the kernel: made whole with the first bridge, then changed by elements. Where
// nftables cannot be used it says so once, and the port holder carries what is published.

import { type Logger, messageOf } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import { firewallNetwork, forwardingsOf, nft, planUnforward } from "./bridge.ts";
import type { AttachmentRecord } from "./contract.ts";
import {
  foreignDrops,
  planAddNetwork,
  planChangeForwardings,
  planFirewall,
  planRemoveFirewall,
  planRemoveNetwork,
} from "./firewall.ts";
import { readChains } from "./host-state.ts";
import type { NetworkRecord } from "./network-record.ts";

export class HostFirewall {
  readonly #native: Native;
  readonly #log: Logger;
  readonly #name: string;
  readonly #ip6tables: boolean;
  /** Networks whose elements are in the table. */
  readonly #networks = new Set<string>();
  #state: "off" | "unmade" | "made" | "unusable";

  constructor(o: {
    native: Native;
    log: Logger;
    name: string;
    iptables: boolean;
    ip6tables: boolean;
  }) {
    this.#native = o.native;
    this.#log = o.log;
    this.#name = o.name;
    this.#ip6tables = o.ip6tables;
    this.#state = o.iptables ? "unmade" : "off";
  }

  /** The table's name while it is in the kernel. */
  get table(): string | undefined {
    return this.#state === "made" ? this.#name : undefined;
  }
  /** It is there, or will be. */
  get usable(): boolean {
    return this.#state === "made" || this.#state === "unmade";
  }

  /** Whether the kernel has nftables, as far as is known, whether or not we have a table. */
  get works(): boolean {
    return this.#state !== "unusable";
  }

  /** Puts a network under the table's rules; at first all of `others` and what is live with it,
   * in one transaction, so that nothing is open in between. */
  async cover(
    network: NetworkRecord,
    others: readonly NetworkRecord[],
    live: readonly AttachmentRecord[],
  ): Promise<void> {
    if (this.#state === "made") {
      if (this.#networks.has(network.id)) return;
      await this.#run(planAddNetwork(this.#name, firewallNetwork(network, this.#ip6tables)));
      this.#networks.add(network.id);
      return;
    }
    if (this.#state !== "unmade") return;
    const all = others.filter(({ bridge }) => bridge);
    const data = planFirewall(
      this.#name,
      all.map((one) => firewallNetwork(one, this.#ip6tables)),
      live.flatMap(forwardingsOf),
    );
    try {
      await this.#run(data);
    } catch (error) {
      this.#state = "unusable";
      this.#log.warn(
        "nftables cannot be used: containers reach other hosts only where those know the way " +
          "back, and published ports are carried by the port holder",
        { error: messageOf(error) },
      );
      return;
    }
    this.#state = "made";
    for (const { id } of all) this.#networks.add(id);
    await this.#warnOfOthers();
  }

  async uncover(network: NetworkRecord): Promise<void> {
    if (this.#state !== "made" || !this.#networks.delete(network.id)) return;
    await this.#run(planRemoveNetwork(this.#name, firewallNetwork(network, this.#ip6tables)));
  }

  /** Ends the forwarding of an endpoint's ports. */
  async unforward(endpoint: AttachmentRecord): Promise<void> {
    const plan = this.table ? planUnforward(endpoint, this.table) : [];
    if (plan.length > 0) await this.#native.run({ host: plan });
  }

  /** Changes what an endpoint has forwarded to what `after` says. */
  async change(before: AttachmentRecord, after: AttachmentRecord): Promise<void> {
    const key = (one: object): string => JSON.stringify(one);
    const [old, wanted] = [forwardingsOf(before), forwardingsOf(after)];
    const [had, has] = [new Set(old.map(key)), new Set(wanted.map(key))];
    const change = {
      remove: old.filter((one) => !has.has(key(one))),
      add: wanted.filter((one) => !had.has(key(one))),
    };
    if (!this.table || change.remove.length + change.add.length === 0) return;
    await this.#run(planChangeForwardings(this.table, change));
  }

  async remove(): Promise<void> {
    if (this.#state !== "made") return;
    await this.#run(planRemoveFirewall(this.#name));
    this.#state = "unmade";
    this.#networks.clear();
  }

  /** The kernel may have lost or changed it: the next cover() makes it anew. */
  reset(): void {
    if (this.#state !== "off") this.#state = "unmade";
    this.#networks.clear();
  }

  async #run(data: ReturnType<typeof planFirewall>): Promise<void> {
    await this.#native.run({ host: [nft(data)] });
  }

  async #warnOfOthers(): Promise<void> {
    for (const chain of foreignDrops(await readChains(this.#native).catch(() => []), this.#name)) {
      this.#log.warn(
        "Another firewall drops forwarded packets: allow the bridges there, or published ports " +
          "and connections out of containers will not work",
        { table: chain.table, chain: chain.name },
      );
    }
  }
}
