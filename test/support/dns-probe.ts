// What tests do with DNS inside a namespace (network-agent.ts): ask 127.0.0.11 byte by byte, be a
// name server that misbehaves, and be a container that does.

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import {
  type Answer,
  addressOf,
  decodeAnswer,
  encodeName,
  encodeQuestion,
  type Question,
  TYPES,
} from "./dns-message.ts";

const RESOLVER = { host: "127.0.0.11", port: 53 };
const PATIENCE_MS = 30_000;

export interface Told {
  rcode: number;
  truncated: boolean;
  question: string;
  /** Addresses as text, other data in hexadecimal. */
  answers: string[];
  bytes: number;
  ms: number;
}

const tell = (answer: Answer, bytes: number, ms: number): Told => ({
  rcode: answer.rcode,
  truncated: answer.truncated,
  question: answer.question,
  answers: answer.answers.map(({ type, data }) =>
    type === TYPES["A"] || type === TYPES["AAAA"] ? addressOf(data) : data.toString("hex"),
  ),
  bytes,
  ms,
});

/** One question by datagram. */
export async function ask(question: Question): Promise<Told> {
  const socket = createSocket("udp4");
  const started = performance.now();
  socket.send(encodeQuestion({ id: 77, ...question }), RESOLVER.port, RESOLVER.host);
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const [data] = (await once(socket, "message", { signal })) as [Buffer];
  socket.close();
  const answer = decodeAnswer(data);
  if (answer.id !== (question.id ?? 77)) throw new Error("an answer to another question");
  return tell(answer, data.length, performance.now() - started);
}

const framed = (message: Buffer): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
};

/** Takes whole messages out of a stream. */
function takeMessages(onMessage: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      onMessage(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
  };
}

/** Many questions in one write over one connection; their answers in the order they came. */
export async function askTogether(questions: Question[]): Promise<Told[]> {
  const socket = connect(RESOLVER);
  const told: Told[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Told[]>();
  const timer = setTimeout(() => reject(new Error(`${told.length} answers`)), PATIENCE_MS);
  socket.on("error", reject);
  socket.on("close", () => reject(new Error(`closed after ${told.length} answers`)));
  socket.on(
    "data",
    takeMessages((message) => {
      told.push(tell(decodeAnswer(message), message.length, 0));
      if (told.length === questions.length) resolve(told);
    }),
  );
  socket.write(Buffer.concat(questions.map((one) => framed(encodeQuestion(one)))));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

/** Opens as many connections at once; how many of them are kept. */
export async function occupy(count: number): Promise<number> {
  const sockets = Array.from({ length: count }, () => connect(RESOLVER));
  // Each is either closed at once or answers a question.
  const answered = await Promise.all(
    sockets.map((socket) => {
      socket.write(framed(encodeQuestion({ name: "localhost" })));
      return new Promise<boolean>((resolve) => {
        socket.on("error", () => {});
        socket.once("data", () => resolve(true)).once("close", () => resolve(false));
      });
    }),
  );
  for (const socket of sockets) socket.destroy();
  return answered.filter((one) => one).length;
}

/** Asks without ever reading; resolves with the bytes that were taken when no more are. */
export async function neverRead(name: string): Promise<number> {
  const socket = connect(RESOLVER);
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.pause();
  const questions = Buffer.concat(
    Array.from({ length: 500 }, () => framed(encodeQuestion({ name }))),
  );
  const before = Date.now();
  let drained = true;
  while (drained && Date.now() - before < PATIENCE_MS) {
    drained = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, 300, false);
      socket.write(questions, () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
  const { bytesWritten, writableLength } = socket;
  socket.destroy();
  return drained ? -1 : bytesWritten - writableLength;
}

/** mulberry32: the same numbers for the same seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function mutate(message: Buffer, random: (below: number) => number): Buffer {
  const out = Buffer.from(message);
  for (let times = random(5); times > 0; times--) {
    const at = random(out.length);
    if (random(2) === 0) out[at] = [0, 1, 0x3f, 0x40, 0xc0, 0xff, random(256)][random(7)]!;
    else out[at]! ^= 1 << random(8);
  }
  return random(5) === 0 ? out.subarray(0, random(out.length + 1)) : out;
}

const SOME: Question[] = [
  { name: "alpha" },
  { name: "alpha", type: "ANY", edns: 1232 },
  { name: "x.example", type: "TXT", edns: 4096 },
  { name: "1.2.3.4.in-addr.arpa", type: "PTR" },
  { name: "", type: "NS" },
  { name: `${"l".repeat(63)}.example`, type: "HTTPS", edns: 512 },
];

/** Sends mutated questions; throws where an answer is malformed. Returns how many came. */
export async function fuzzDatagrams(seed: number, count: number): Promise<number> {
  const random = randomFrom(seed);
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  let came = 0;
  let broken: unknown;
  socket.on("message", (data) => {
    came++;
    try {
      if (data.length > 12) decodeAnswer(data);
    } catch (error) {
      // Servers may say more than they announce.
      if (/too many$/.test(String(error))) return;
      broken ??= new Error(data.toString("hex"), { cause: error });
    }
  });
  for (let i = 0; i < count; i++) {
    const data = mutate(encodeQuestion({ id: i & 0xffff, ...SOME[random(SOME.length)]! }), random);
    socket.send(data, RESOLVER.port, RESOLVER.host);
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await askTogether([{ name: "alpha" }]);
  socket.close();
  if (broken) throw broken;
  return came;
}

/** Streams of nonsense: wrong lengths, halves, many at once, ends in the middle. */
export async function fuzzStreams(seed: number, count: number): Promise<void> {
  const random = randomFrom(seed);
  const one = async (): Promise<void> => {
    const socket = connect(RESOLVER);
    socket.on("error", () => {}).on("data", () => {});
    const parts = Array.from({ length: 1 + random(20) }, () => {
      const message = framed(mutate(encodeQuestion(SOME[random(SOME.length)]!), random));
      if (random(4) === 0) message.writeUInt16BE([0, 1, 11, 0xffff, random(400)][random(5)]!, 0);
      return random(6) === 0 ? message.subarray(0, random(message.length + 1)) : message;
    });
    socket.write(Buffer.concat(parts));
    const end = random(3);
    if (end === 0) socket.end();
    else if (end === 1) socket.resetAndDestroy();
    else setTimeout(() => socket.destroy(), random(30));
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  };
  for (let i = 0; i < count; i += 10) await Promise.all(Array.from({ length: 10 }, one));
}

export type Manner = "good" | "hostile" | "cname" | "large" | "slow";
interface Served {
  udp: Socket;
  tcp: Server;
  seen: { port: number; id: number; name: string; tcp: boolean }[];
}
const served: Served[] = [];

/** A name server: "good" gives every name the address 198.51.100.7, "cname" by way of an alias,
 * "large" needs TCP, "hostile" says anything, "slow" takes half a second. */
export async function serve(host: string, manner: Manner, seed = 1): Promise<string> {
  const random = randomFrom(seed);
  const udp = createSocket(host.includes(":") ? "udp6" : "udp4");
  const seen: Served["seen"] = [];
  const say = (query: Buffer, tcp: boolean, send: (answer: Buffer) => void): void => {
    const answer = goodAnswer(query, manner, tcp);
    if (manner === "slow") setTimeout(send, 500, answer);
    else if (manner !== "hostile") send(answer);
    else for (let times = random(3); times >= 0; times--) send(mutate(answer, random));
  };
  udp.on("message", (query, from) => {
    if (query.length < 17) return;
    seen.push({ port: from.port, id: query.readUInt16BE(0), name: nameOf(query), tcp: false });
    say(query, false, (answer) => udp.send(answer, from.port, from.address));
  });
  const tcp = createServer((socket) => {
    const take = takeMessages((query) => {
      if (query.length < 17) return void socket.destroy();
      seen.push({ port: 0, id: query.readUInt16BE(0), name: nameOf(query), tcp: true });
      say(query, true, (answer) => {
        if (manner === "hostile" && random(4) === 0) socket.destroy();
        else if (!socket.destroyed) socket.write(framed(answer));
      });
    });
    socket.on("error", () => {}).on("data", take);
  });
  udp.bind(53, host);
  tcp.listen(53, host);
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  served.push({ udp, tcp, seen });
  return "ok";
}

/** What the servers of this namespace were asked so far. */
export const seen = (): Served["seen"] => served.flatMap((one) => one.seen);

const nameOf = (query: Buffer): string => query.toString("latin1", 12, query.length - 4);

function goodAnswer(query: Buffer, manner: Manner, tcp: boolean): Buffer {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += query[end]! + 1;
  const head = Buffer.from(query.subarray(0, end + 5));
  head.writeUInt16BE(manner === "large" && !tcp ? 0x8380 : 0x8180, 2);
  head.fill(0, 6, 12);
  if (manner === "large" && !tcp) return head;
  const record = (type: string, data: Buffer, owner: Buffer = Buffer.of(0xc0, 12)): Buffer => {
    const fixed = Buffer.alloc(10);
    fixed.writeUInt16BE(TYPES[type]!, 0);
    fixed.writeUInt16BE(1, 2);
    fixed.writeUInt32BE(30, 4);
    fixed.writeUInt16BE(data.length, 8);
    return Buffer.concat([owner, fixed, data]);
  };
  const address = Buffer.of(198, 51, 100, 7);
  const alias = encodeName("real.example");
  const records =
    manner === "cname"
      ? [record("CNAME", alias), record("A", address, alias)]
      : Array.from({ length: manner === "large" ? 300 : 1 }, () => record("A", address));
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, ...records]);
}
