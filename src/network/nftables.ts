// nf_tables messages over nfnetlink: tables, chains, sets, elements, rules and the expressions
// that our rules use. One NftBatch is one transaction: the kernel takes all of it or nothing.
// Pure. Attribute values are big-endian; register contents (addresses, ports) are raw bytes.
// Source: linux/netfilter/nf_tables.h.

import {
  type NetlinkData,
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from "./netlink-message.ts";

export const NETLINK_NETFILTER = 12;

const SUBSYS = 10 << 8;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
export const MSG = {
  newTable: SUBSYS | 0,
  delTable: SUBSYS | 2,
  newChain: SUBSYS | 3,
  getChain: SUBSYS | 4,
  delChain: SUBSYS | 5,
  newRule: SUBSYS | 6,
  getRule: SUBSYS | 7,
  delRule: SUBSYS | 8,
  newSet: SUBSYS | 9,
  newElement: SUBSYS | 12,
  getElement: SUBSYS | 13,
  delElement: SUBSYS | 14,
} as const;
export const NFPROTO_INET = 1;

/** Registers as 32-bit words: word 0 is where a 16-byte value may start. */
export type Word = number;
const REG32_00 = 8;
const NFT_REG_1 = 1;

export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting";
const HOOKS: Record<Hook, number> = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
};
export const VERDICT = { drop: 0, accept: 1, jump: -3, return: -5 } as const;

/** Data types as nft(8) numbers them, with their size in a concatenation; only for listings. */
export type FieldType = "ipv4" | "ipv6" | "protocol" | "port" | "interface";
const FIELDS: Record<FieldType, { id: number; bytes: number }> = {
  ipv4: { id: 7, bytes: 4 },
  ipv6: { id: 8, bytes: 16 },
  protocol: { id: 12, bytes: 1 },
  port: { id: 13, bytes: 2 },
  interface: { id: 41, bytes: 16 },
};
const padded = (bytes: number): number => (bytes + 3) & ~3;
const typeId = (fields: readonly FieldType[]): number =>
  fields.reduce((id, field) => (id << 6) | FIELDS[field].id, 0);
const typeBytes = (fields: readonly FieldType[]): number =>
  fields.length === 1
    ? FIELDS[fields[0]!].bytes
    : fields.reduce((sum, field) => sum + padded(FIELDS[field].bytes), 0);

export interface SetShape {
  name: string;
  key: readonly FieldType[];
  /** Present: a map. */
  value?: readonly FieldType[];
  interval?: boolean;
}
const NFT_SET_INTERVAL = 0x4;
const NFT_SET_MAP = 0x8;
const NFT_SET_CONCAT = 0x80;

export interface SetElement {
  key: Uint8Array;
  /** Last key of an interval (concatenated keys). */
  keyEnd?: Uint8Array;
  value?: Uint8Array;
  /** Marks where an interval of a single-field set ends (exclusive). */
  intervalEnd?: boolean;
}

export type Expression = (w: NetlinkWriter) => void;

export const NFTA_LIST_ELEM = 1;
const NFTA_DATA_VALUE = 1;

export class NftBatch {
  readonly #w = new NetlinkWriter();
  readonly #table: string;
  #setId = 0;

  constructor(table: string) {
    this.#table = table;
    this.#w.message(BATCH_BEGIN, 0, () => this.#header(0, 10));
  }

  finish(): NetlinkData {
    this.#w.message(BATCH_END, 0, () => this.#header(0, 10));
    return this.#w.finish();
  }

  #header(family: number, resource = 0): void {
    this.#w.u8(family).u8(0).u16be(resource);
  }
  #message(type: number, flags: number, body: () => void, chain?: ChainName): this {
    this.#w.message(type, flags | NLM_F_ACK, () => {
      this.#header(chain?.family ?? NFPROTO_INET);
      this.#w.attrString(1, chain?.table ?? this.#table); // NFTA_*_TABLE is 1 everywhere
      body();
    });
    return this;
  }

  /** `exclusive`: the whole batch is refused (EEXIST) where the table is there already. */
  addTable({ exclusive = false } = {}): this {
    return this.#message(MSG.newTable, NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0), () =>
      this.#w.attrU32be(2, 0),
    );
  }
  deleteTable(): this {
    return this.#message(MSG.delTable, 0, () => {});
  }

  /** A base chain when `hook` is given; its policy is accept unless it `drops`. */
  addChain(
    name: string,
    base?: { type: "filter" | "nat"; hook: Hook; priority: number; drops?: boolean },
  ): this {
    return this.#message(MSG.newChain, NLM_F_CREATE, () => {
      const w = this.#w;
      w.attrString(3, name);
      if (!base) return;
      w.attrString(7, base.type);
      w.attrU32be(5, base.drops ? VERDICT.drop : VERDICT.accept);
      w.nest(4, () => w.attrU32be(1, HOOKS[base.hook]).attrU32be(2, base.priority));
    });
  }

  addSet({ name, key, value, interval }: SetShape): this {
    const concat = key.length > 1 && interval === true;
    const flags =
      (interval ? NFT_SET_INTERVAL : 0) | (value ? NFT_SET_MAP : 0) | (concat ? NFT_SET_CONCAT : 0);
    return this.#message(MSG.newSet, NLM_F_CREATE, () => {
      const w = this.#w;
      w.attrString(2, name).attrU32be(3, flags);
      w.attrU32be(4, typeId(key)).attrU32be(5, typeBytes(key));
      if (value) w.attrU32be(6, typeId(value)).attrU32be(7, typeBytes(value));
      w.attrU32be(10, ++this.#setId);
      // NFTA_SET_USERDATA: key byte order is the host's, so that nft(8) shows names.
      if (key.length === 1 && key[0] === "interface") {
        w.attrBytes(13, Uint8Array.of(0, 4, 1, 0, 0, 0));
      }
      if (!concat) return;
      // NFTA_SET_DESC > NFTA_SET_DESC_CONCAT > one length a field
      w.nest(9, () =>
        w.nest(2, () => {
          for (const field of key) {
            w.nest(NFTA_LIST_ELEM, () => w.attrU32be(1, FIELDS[field].bytes));
          }
        }),
      );
    });
  }

  addElements(set: string, elements: readonly SetElement[]): this {
    return this.#elements(MSG.newElement, NLM_F_CREATE, set, elements);
  }
  deleteElements(set: string, elements: readonly SetElement[]): this {
    return this.#elements(MSG.delElement, 0, set, elements);
  }

  #elements(type: number, flags: number, set: string, elements: readonly SetElement[]): this {
    // A nested attribute holds at most 64 KiB.
    for (let from = 0; from < elements.length; from += ELEMENTS_PER_MESSAGE_MAX) {
      const slice = elements.slice(from, from + ELEMENTS_PER_MESSAGE_MAX);
      this.#message(type, flags, () => {
        this.#w.attrString(2, set);
        this.#w.nest(3, () => {
          for (const element of slice) this.#element(element);
        });
      });
    }
    return this;
  }

  #element(element: SetElement): void {
    const w = this.#w;
    const data = (type: number, value: Uint8Array): void =>
      void w.nest(type, () => w.attrBytes(NFTA_DATA_VALUE, value));
    w.nest(NFTA_LIST_ELEM, () => {
      if (element.intervalEnd) w.attrU32be(3, 1);
      data(1, element.key);
      if (element.keyEnd) data(10, element.keyEnd);
      if (element.value) data(2, element.value);
    });
  }

  addRule(chain: string, ...expressions: Expression[]): this {
    return this.#message(MSG.newRule, NLM_F_CREATE | NLM_F_APPEND, () => {
      this.#w.attrString(2, chain);
      this.#w.nest(4, () => {
        for (const expression of expressions) expression(this.#w);
      });
    });
  }
  /** All rules of the chain go. */
  flushChain(chain: string): this {
    return this.#message(MSG.delRule, 0, () => this.#w.attrString(2, chain));
  }
  deleteChain(chain: string): this {
    return this.#message(MSG.delChain, 0, () => this.#w.attrString(3, chain));
  }

  /** A first rule in a chain of somebody else's, which says in its comment whose it is. */
  insertForeign(chain: ChainName, comment: string, ...expressions: Expression[]): this {
    const w = this.#w;
    const text = new TextEncoder().encode(comment);
    const body = (): void => {
      w.attrString(2, chain.name);
      w.nest(4, () => {
        for (const expression of expressions) expression(w);
      });
      w.attrBytes(7, Uint8Array.of(0, text.length + 1, ...text, 0));
    };
    return this.#message(MSG.newRule, NLM_F_CREATE, body, chain);
  }
  deleteForeign(chain: ChainName, handle: Uint8Array): this {
    const body = () => this.#w.attrString(2, chain.name).attrBytes(3, handle);
    return this.#message(MSG.delRule, 0, body, chain);
  }
}

/** A chain of any table. */
export interface ChainName {
  family: number;
  table: string;
  name: string;
}

const ELEMENTS_PER_MESSAGE_MAX = 400;

function expression(name: string, body: (w: NetlinkWriter) => void): Expression {
  return (w) =>
    void w.nest(NFTA_LIST_ELEM, () => {
      w.attrString(1, name);
      w.nest(2, () => body(w));
    });
}

const META = {
  mark: 3,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
  iifkind: 26,
  oifkind: 27,
} as const;
const META_DREG = 1;
const META_SREG = 3;
export const loadMeta = (key: keyof typeof META, to: Word = 0): Expression =>
  expression("meta", (w) => w.attrU32be(2, META[key]).attrU32be(META_DREG, REG32_00 + to));
/** The packet's mark is what word 0 holds. */
export const storeMark: Expression = expression("meta", (w) =>
  w.attrU32be(2, META.mark).attrU32be(META_SREG, REG32_00),
);
/** Word 0 becomes (word 0 & mask) ^ xor. */
export const bitwise = (mask: number, xor: number): Expression =>
  expression("bitwise", (w) => {
    w.attrU32be(1, REG32_00).attrU32be(2, REG32_00).attrU32be(3, 4);
    w.nest(4, () => w.attrBytes(NFTA_DATA_VALUE, hostU32(mask)));
    w.nest(5, () => w.attrBytes(NFTA_DATA_VALUE, hostU32(xor)));
  });
export const counter: Expression = expression("counter", () => {});

const BASE = { network: 1, transport: 2 } as const;
export const loadPayload = (
  base: keyof typeof BASE,
  offset: number,
  length: number,
  to: Word = 0,
): Expression =>
  expression("payload", (w) =>
    w
      .attrU32be(1, REG32_00 + to)
      .attrU32be(2, BASE[base])
      .attrU32be(3, offset)
      .attrU32be(4, length),
  );

const CT = { state: 0, status: 2 } as const;
export const loadConntrack = (key: keyof typeof CT, to: Word = 0): Expression =>
  expression("ct", (w) => w.attrU32be(2, CT[key]).attrU32be(1, REG32_00 + to));

/** The type of the destination address as routing sees it (RTN_LOCAL is 2). */
export const loadAddressType = (to: Word = 0): Expression =>
  expression(
    "fib",
    (w) =>
      w
        .attrU32be(1, REG32_00 + to)
        .attrU32be(2, 3) // NFT_FIB_RESULT_ADDRTYPE
        .attrU32be(3, 2), // NFTA_FIB_F_DADDR
  );

export const compare = (operator: "eq" | "neq", value: Uint8Array, from: Word = 0): Expression =>
  expression("cmp", (w) => {
    w.attrU32be(1, REG32_00 + from).attrU32be(2, operator === "eq" ? 0 : 1);
    w.nest(3, () => w.attrBytes(NFTA_DATA_VALUE, value));
  });

/** Passes when any bit of `mask` is set in a 32-bit register. */
export const anyBit = (mask: number): Expression => {
  const masked = bitwise(mask, 0);
  const some = compare("neq", hostU32(0));
  return (w) => {
    masked(w);
    some(w);
  };
};

/** Breaks the rule when the key is absent; with `to`, stores the map's value there. */
export const lookup = (set: string, { to }: { to?: Word } = {}): Expression =>
  expression("lookup", (w) => {
    w.attrString(1, set).attrU32be(2, REG32_00);
    if (to !== undefined) w.attrU32be(3, REG32_00 + to);
  });

export const verdict = (code: "accept" | "drop" | "return" | { jump: string }): Expression =>
  expression("immediate", (w) => {
    w.attrU32be(1, 0);
    w.nest(2, () =>
      w.nest(2, () => {
        if (typeof code === "string") w.attrU32be(1, VERDICT[code]);
        else w.attrU32be(1, VERDICT.jump).attrString(2, code.jump);
      }),
    );
  });

export const loadValue = (value: Uint8Array, to: Word = 0): Expression =>
  expression("immediate", (w) => {
    w.attrU32be(1, REG32_00 + to);
    w.nest(2, () => w.attrBytes(NFTA_DATA_VALUE, value));
  });

/** Writes a register into the transport header and mends the checksum at `checksum`. */
export const storeTransport = (offset: number, length: number, checksum: number): Expression =>
  expression("payload", (w) =>
    w
      .attrU32be(5, REG32_00)
      .attrU32be(2, BASE.transport)
      .attrU32be(3, offset)
      .attrU32be(4, length)
      .attrU32be(6, 1) // NFT_PAYLOAD_CSUM_INET
      .attrU32be(7, checksum)
      .attrU32be(8, 0),
  );

/** Destination NAT to the address in word 0, and to the port after it or the one that it has. */
export const dnat = (family: 4 | 6, port: "port" | "same port" = "port"): Expression =>
  expression("nat", (w) => {
    w.attrU32be(1, 1) // NFT_NAT_DNAT
      .attrU32be(2, family === 4 ? 2 : 10)
      .attrU32be(3, NFT_REG_1);
    if (port === "port") w.attrU32be(5, REG32_00 + (family === 4 ? 1 : 4));
  });

/** The packet leaves with the address that word 0 holds. */
export const snat = (family: 4 | 6): Expression =>
  expression("nat", (w) => {
    w.attrU32be(1, 0) // NFT_NAT_SNAT
      .attrU32be(2, family === 4 ? 2 : 10)
      .attrU32be(3, NFT_REG_1);
  });

export const masquerade: Expression = expression("masq", () => {});

export function hostU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** Keys and values of concatenations: each part padded to four bytes. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + padded(part.length), 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += padded(part.length);
  }
  return out;
}
export const portBytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff);
export function interfaceBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name).subarray(0, 15));
  return bytes;
}
