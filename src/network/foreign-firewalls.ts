// Firewalls of others on this host: Docker's, ufw's, firewalld's, the administrator's own. Every
// chain of the forward hook must accept a packet, so an accept of ours does not win over a drop of
// theirs. Where the daemon may (accept-in-other-firewalls), it puts one rule at the head of such a
// chain, or of DOCKER-USER where there is one: what our table has vouched for passes. The rule's
// comment says whose it is; it is found again by it, whatever happened to us or to them.

import { type Logger, messageOf } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import { addVouchingChains, removeVouchingChains, VOUCHED_MARK } from "./firewall.ts";
import { LegacyTables } from "./legacy-tables.ts";
import {
  bitwise,
  type ChainName,
  compare,
  counter,
  hostU32,
  loadMeta,
  NETLINK_NETFILTER,
  NftBatch,
  verdict,
} from "./nftables.ts";
import {
  type BaseChain,
  dumpChains,
  dumpRules,
  type RuleFacts,
  readBaseChains,
  readChainNames,
  readRules,
} from "./nftables-read.ts";

const FORWARD_HOOK = 2;
const FAMILIES: ReadonlySet<number> = new Set([1, 2, 10]); // inet, ip, ip6
const EOPNOTSUPP = 95;
const ENOENT = 2;
const DOCKER_USER = "DOCKER-USER";

/** A chain of somebody else that drops what is forwarded. */
export interface ForeignDrop {
  /** "ip filter FORWARD" */
  chain: string;
  /** Ours passes: by our rule in `rule`, a chain like this one. */
  accepted: boolean;
  /** Why there is no rule of ours. */
  problem?: string;
}

interface Survey {
  names: ChainName[];
  base: BaseChain[];
}

export class ForeignFirewalls {
  readonly #native: Native;
  readonly #log: Logger;
  readonly #table: string;
  readonly #may: boolean;
  readonly #comment: string;
  readonly #legacy: LegacyTables;
  #vouching = false;
  #drops: ForeignDrop[] = [];

  constructor(o: {
    native: Native;
    log: Logger;
    table: string;
    may: boolean;
    enter: readonly string[];
  }) {
    this.#native = o.native;
    this.#log = o.log;
    this.#table = o.table;
    this.#may = o.may;
    this.#comment = `gantry ${o.table}`;
    this.#legacy = new LegacyTables({
      native: o.native,
      enter: o.enter,
      comment: this.#comment,
      mark: VOUCHED_MARK,
    });
  }

  /** As of the last look. */
  get drops(): readonly ForeignDrop[] {
    return this.#drops;
  }

  /** Our table was made anew: its vouching chains are gone. */
  reset(): void {
    this.#vouching = false;
  }

  /** Looks at all chains, puts rules where they are missing and takes those away that have become
   * needless. False when our own table is not there. */
  async refresh(): Promise<boolean> {
    const survey = await this.#survey();
    const own = survey.names.some(({ table, family }) => table === this.#table && family === 1);
    if (!own) return false;
    const found: ForeignDrop[] = [];
    for (const chain of survey.base.filter((one) => this.#isForeign(one))) {
      const drop = await this.#look(chain, survey);
      if (drop) found.push(drop);
    }
    const legacy = await this.#legacy.refresh(this.#may, () => this.#vouch());
    this.#report([...found, ...legacy]);
    return true;
  }

  /** Takes every rule of ours out of the chains of others. */
  async remove(): Promise<void> {
    const survey = await this.#survey();
    for (const chain of survey.names.filter(({ table }) => table !== this.#table)) {
      if (!FAMILIES.has(chain.family)) continue;
      const mine = (await this.#rules(chain)).filter(({ comment }) => comment === this.#comment);
      if (mine.length > 0) await this.#delete(chain, mine);
    }
    await this.#legacy.remove();
    this.#drops = [];
    this.#vouching = false;
  }

  async #survey(): Promise<Survey> {
    const answer = await this.#ask(dumpChains());
    return { names: readChainNames(answer), base: readBaseChains(answer) };
  }

  #isForeign({ hook, family, table }: BaseChain): boolean {
    return hook === FORWARD_HOOK && FAMILIES.has(family) && !table.startsWith("gantry_");
  }

  /** What the chain does to forwarded packets, and what has been done about it. */
  async #look(chain: BaseChain, { names }: Survey): Promise<ForeignDrop | undefined> {
    const rules = await this.#rules(chain);
    const user = names.find(
      ({ family, table, name }) =>
        family === chain.family && table === chain.table && name === DOCKER_USER,
    );
    const target = user ?? chain;
    const inTarget = user ? await this.#rules(user) : rules;
    const mine = inTarget.filter(({ comment }) => comment === this.#comment);
    const drops = chain.drops || rules.some(({ dropsAll }) => dropsAll);
    if (!drops || !this.#may) {
      if (mine.length > 0) await this.#delete(target, mine);
      return drops ? { chain: nameOf(chain), accepted: false } : undefined;
    }
    if (mine.length > 0 && this.#vouching) return { chain: nameOf(chain), accepted: true };
    try {
      await this.#vouch();
      // One that is not the first may come too late: others insert theirs before it.
      if (mine.length === 0) await this.#insert(target);
      return { chain: nameOf(chain), accepted: true };
    } catch (error) {
      return { chain: nameOf(chain), accepted: false, problem: messageOf(error) };
    }
  }

  async #vouch(): Promise<void> {
    if (this.#vouching) return;
    const batch = new NftBatch(this.#table);
    addVouchingChains(batch);
    await this.#native.run({ host: [nft(batch)] });
    this.#vouching = true;
  }

  async #insert(chain: ChainName): Promise<void> {
    const batch = new NftBatch(this.#table);
    // In the form that iptables-nft can read: its tables must stay listable.
    batch.insertForeign(
      chain,
      this.#comment,
      loadMeta("mark"),
      bitwise(VOUCHED_MARK, 0),
      compare("eq", hostU32(VOUCHED_MARK)),
      counter,
      verdict("accept"),
    );
    await this.#native.run({ host: [nft(batch)] });
    this.#log.info("Packets of containers are accepted in a chain of another firewall", {
      chain: nameOf(chain),
      comment: this.#comment,
    });
  }

  async #delete(chain: ChainName, rules: readonly RuleFacts[]): Promise<void> {
    const batch = new NftBatch(this.#table);
    for (const { handle } of rules) batch.deleteForeign(chain, handle);
    await this.#native.run({ host: [{ ...nft(batch), ignore: ENOENT }] });
  }

  async #rules(chain: ChainName): Promise<RuleFacts[]> {
    return readRules(await this.#ask(dumpRules(chain), ENOENT));
  }

  async #ask(data: Uint8Array, ignore = EOPNOTSUPP): Promise<Uint8Array> {
    const dump: Operation = { op: "netlink", protocol: NETLINK_NETFILTER, data, ignore };
    const results = await this.#native.run({ host: [dump] });
    return results.has(0) ? results.bytes(0) : new Uint8Array();
  }

  /** Says once what stands in the way, and what helps. */
  #report(drops: ForeignDrop[]): void {
    const known = new Set(this.#drops.filter((one) => !one.accepted).map(({ chain }) => chain));
    for (const { chain, accepted, problem } of drops) {
      if (accepted || known.has(chain)) continue;
      this.#log.warn(
        "Another firewall drops forwarded packets: containers do not reach other hosts, and " +
          "published ports are carried by the port holder, without the clients' addresses",
        { chain, remedy: remedyFor(chain), ...(problem && { problem }) },
      );
    }
    this.#drops = drops;
  }

  /** Not needed any more: neither marks nor rules. */
  async forgetVouching(): Promise<void> {
    if (!this.#vouching) return;
    const batch = new NftBatch(this.#table);
    removeVouchingChains(batch);
    await this.#native.run({ host: [nft(batch)] });
    this.#vouching = false;
  }
}

/** What an administrator can do where the daemon may not. */
export function remedyFor(chain: string): string {
  const mark = `0x${VOUCHED_MARK.toString(16)}`;
  if (chain.includes("firewalld")) {
    return "firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE, for each bridge";
  }
  return (
    `let the daemon add its rule ("accept-in-other-firewalls": true), or accept packets from and ` +
    `to the bridges in ${chain} (the daemon's rule would match meta mark & ${mark})`
  );
}

const FAMILY_NAMES: Record<number, string> = { 1: "inet", 2: "ip", 10: "ip6" };
const nameOf = ({ family, table, name }: ChainName): string =>
  `${FAMILY_NAMES[family] ?? family} ${table} ${name}`;

const nft = (batch: NftBatch) => ({
  op: "netlink" as const,
  protocol: NETLINK_NETFILTER,
  ...batch.finish(),
});
