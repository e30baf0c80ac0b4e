// What the kernel says of nftables: chains and rules, also those of others, and whether an element
// is there. Pure. Source: linux/netfilter/nf_tables.h.

import {
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  readAttributes,
  readList,
  readMessages,
  readString,
  readU32be,
} from "./netlink-message.ts";
import { type ChainName, MSG, NFPROTO_INET, NFTA_LIST_ELEM, VERDICT } from "./nftables.ts";

export function dumpChains(): Uint8Array {
  const w = new NetlinkWriter();
  w.message(MSG.getChain, NLM_F_DUMP, () => w.u8(0).u8(0).u16be(0));
  return w.finish().data;
}

export interface BaseChain extends ChainName {
  hook: number;
  priority: number;
  drops: boolean;
}

/** Every chain, also those that no hook calls. */
export const readChainNames = (answer: Uint8Array): ChainName[] =>
  readMessages(answer)
    .filter(({ type }) => type === MSG.newChain)
    .map(({ payload }) => {
      const attributes = readAttributes(payload, 4);
      return {
        family: payload[0]!,
        table: readString(attributes.get(1)),
        name: readString(attributes.get(3)),
      };
    });

export function dumpRules({ family, table, name }: ChainName): Uint8Array {
  const w = new NetlinkWriter();
  w.message(MSG.getRule, NLM_F_DUMP, () => {
    w.u8(family).u8(0).u16be(0);
    w.attrString(1, table).attrString(2, name);
  });
  return w.finish().data;
}

export interface RuleFacts {
  handle: Uint8Array;
  /** As nft(8) and iptables-nft keep it; empty where there is none. */
  comment: string;
  /** It drops or rejects whatever comes to it. */
  dropsAll: boolean;
}

export function readRules(answer: Uint8Array): RuleFacts[] {
  return readMessages(answer)
    .filter(({ type }) => type === MSG.newRule)
    .map(({ payload }) => {
      const attributes = readAttributes(payload, 4);
      const kinds = readList(attributes.get(4)).map((expression) => readAttributes(expression));
      return {
        handle: attributes.get(3) ?? new Uint8Array(8),
        comment: readComment(attributes.get(7)),
        dropsAll: kinds.length > 0 && kinds.every(isQuiet) && kinds.some(isDrop),
      };
    });
}

type Attributes = ReturnType<typeof readAttributes>;
const nameOf = (expression: Attributes): string => readString(expression.get(1));
/** Does not ask anything of the packet. */
const isQuiet = (expression: Attributes): boolean =>
  ["counter", "log", "immediate", "reject"].includes(nameOf(expression));
function isDrop(expression: Attributes): boolean {
  if (nameOf(expression) === "reject") return true;
  const data = expression.get(2);
  if (nameOf(expression) !== "immediate" || !data) return false;
  const verdictData = readAttributes(readAttributes(data).get(2) ?? new Uint8Array()).get(2);
  if (!verdictData) return false;
  const code = readAttributes(verdictData).get(1);
  return code !== undefined && readU32be(code) === VERDICT.drop;
}

/** User data is type, length, value; type 0 is a comment. */
function readComment(data: Uint8Array | undefined): string {
  for (let at = 0; data && at + 2 <= data.length; at += 2 + data[at + 1]!) {
    if (data[at] === 0) return readString(data.subarray(at + 2, at + 2 + data[at + 1]!));
  }
  return "";
}

/** Asks for one element; an answer that is an error (ENOENT) says that it is not there. */
export function getElement(
  table: string,
  set: string,
  key: Uint8Array,
  keyEnd?: Uint8Array,
): Uint8Array {
  const w = new NetlinkWriter();
  w.message(MSG.getElement, NLM_F_ACK, () => {
    w.u8(NFPROTO_INET).u8(0).u16be(0);
    w.attrString(1, table).attrString(2, set);
    w.nest(3, () =>
      w.nest(NFTA_LIST_ELEM, () => {
        w.nest(1, () => w.attrBytes(1, key));
        if (keyEnd) w.nest(10, () => w.attrBytes(1, keyEnd));
      }),
    );
  });
  return w.finish().data;
}
/** Whether getElement() found it. */
export const hasElement = (answer: Uint8Array): boolean =>
  readMessages(answer).some(({ type }) => type === MSG.newElement);

export function readBaseChains(answer: Uint8Array): BaseChain[] {
  return readMessages(answer)
    .filter(({ type }) => type === MSG.newChain)
    .flatMap(({ payload }) => {
      const attributes = readAttributes(payload, 4);
      const hook = attributes.get(4);
      if (!hook) return [];
      const hooks = readAttributes(hook);
      return [
        {
          family: payload[0]!,
          table: readString(attributes.get(1)),
          name: readString(attributes.get(3)),
          hook: readU32be(hooks.get(1)),
          priority: readU32be(hooks.get(2)) | 0,
          drops: attributes.has(5) && readU32be(attributes.get(5)) === VERDICT.drop,
        },
      ];
    });
}
