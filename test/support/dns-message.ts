// DNS messages for tests: questions as a stub resolver writes them, and a strict reader of answers.

export const TYPES: Record<string, number> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  HTTPS: 65,
  ANY: 255,
};

export interface Question {
  name: string;
  type?: string;
  id?: number;
  /** The datagram size that EDNS offers; absent: no EDNS. */
  edns?: number;
  checkingDisabled?: boolean;
}

export interface ResourceRecord {
  name: string;
  type: number;
  ttl: number;
  data: Buffer;
}
export interface Answer {
  id: number;
  rcode: number;
  truncated: boolean;
  recursionAvailable: boolean;
  question: string;
  answers: ResourceRecord[];
  authority: ResourceRecord[];
  additional: ResourceRecord[];
}

export function encodeName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  const parts = labels.map((label) => {
    const text = Buffer.from(label, "latin1");
    return Buffer.concat([Buffer.of(text.length), text]);
  });
  return Buffer.concat([...parts, Buffer.of(0)]);
}

export function encodeQuestion({ name, type = "A", id = 1, edns, ...more }: Question): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x0100 | (more.checkingDisabled ? 0x10 : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(edns === undefined ? 0 : 1, 10);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(TYPES[type]!, 0);
  tail.writeUInt16BE(1, 2);
  const parts = [head, encodeName(name), tail];
  if (edns !== undefined) {
    const opt = Buffer.alloc(11);
    opt.writeUInt16BE(TYPES["OPT"]!, 1);
    opt.writeUInt16BE(edns, 3);
    parts.push(opt);
  }
  return Buffer.concat(parts);
}

/** Throws for anything that is not exactly one message. */
export function decodeAnswer(message: Buffer): Answer {
  const flags = message.readUInt16BE(2);
  if (!(flags & 0x8000)) throw new Error("not an answer");
  let at = 12;
  const name = (): string => {
    const [text, next] = readName(message, at);
    at = next;
    return text;
  };
  const questions = message.readUInt16BE(4);
  let question = "";
  for (let i = 0; i < questions; i++) {
    question = name();
    at += 4;
  }
  const section = (count: number): ResourceRecord[] =>
    Array.from({ length: count }, () => {
      const owner = name();
      const type = message.readUInt16BE(at);
      const ttl = message.readUInt32BE(at + 4);
      const size = message.readUInt16BE(at + 8);
      at += 10 + size;
      if (at > message.length) throw new Error("a record is cut");
      return { name: owner, type, ttl, data: message.subarray(at - size, at) };
    });
  const [answers, authority, additional] = [6, 8, 10].map((where) =>
    section(message.readUInt16BE(where)),
  );
  if (at !== message.length) throw new Error(`${message.length - at} bytes too many`);
  return {
    id: message.readUInt16BE(0),
    rcode: flags & 0xf,
    truncated: (flags & 0x0200) !== 0,
    recursionAvailable: (flags & 0x80) !== 0,
    question,
    answers: answers!,
    authority: authority!,
    additional: additional!,
  };
}

function readName(message: Buffer, start: number): [name: string, next: number] {
  const labels: string[] = [];
  let at = start;
  let next = -1;
  for (let jumps = 0; ; ) {
    const size = message.readUInt8(at);
    if (size === 0) return [labels.join("."), next < 0 ? at + 1 : next];
    if ((size & 0xc0) === 0xc0) {
      if (next < 0) next = at + 2;
      at = message.readUInt16BE(at) & 0x3fff;
      if (++jumps > 20) throw new Error("a name goes round in circles");
      continue;
    }
    labels.push(message.toString("latin1", at + 1, at + 1 + size));
    at += size + 1;
  }
}

/** "192.0.2.1" or "fd00::1", as their bytes say. */
export function addressOf(data: Buffer): string {
  if (data.length === 4) return [...data].join(".");
  return Array.from({ length: 8 }, (_, i) => data.readUInt16BE(i * 2).toString(16)).join(":");
}
