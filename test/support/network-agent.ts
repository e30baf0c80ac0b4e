// A process that lives in a network namespace of its own and does there what a test asks over
// IPC: listen, connect, send datagrams. Started by network-lab.ts.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { connect, createServer, type Server } from "node:net";

export type Ask =
  | { do: "listen"; protocol: "tcp" | "udp"; port: number; host?: string }
  | { do: "tcp"; host: string; port: number; send?: string; patienceMs?: number }
  | { do: "udp"; host: string; port: number; count?: number; fromPort?: number }
  | { do: "dns"; name: string; type: string }
  /** Says `text` to every question by UDP and TCP: address of TXT, A or an rcode. */
  | { do: "serve-dns"; host: string; answer: "refuse" | "silence" | "long" | string }
  /** Calls what a module exports, in this namespace; says its result as JSON. */
  | { do: "call"; module: string; name: string; args: unknown[] }
  | { do: "close" };

/** Far more than an answer takes; a test that expects none says less. */
const PATIENCE_MS = 30_000;
const RESEND_MS = 1000;
const open: (Server | UdpSocket)[] = [];

/** Answers each connection with the peer's address, then echoes; ends only after its peer. */
function listenTcp(port: number, host: string): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write(`${socket.remoteAddress}\n`);
    socket.on("error", () => {});
    socket.on("data", (chunk) => socket.write(chunk));
    socket.on("end", () => socket.end("bye"));
  });
  open.push(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, host, () => resolve("ok"));
  });
}

function listenUdp(port: number, host: string): Promise<string> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  open.push(socket);
  socket.on("message", (data, from) =>
    socket.send(`${from.address} ${data}`, from.port, from.address),
  );
  return new Promise((resolve, reject) => {
    socket.once("error", reject).bind(port, host, () => resolve("ok"));
  });
}

/** What came back until the peer ended, or the errno, or "timeout". */
function tcp(ask: Extract<Ask, { do: "tcp" }>): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: ask.host, port: ask.port });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve("timeout");
    }, ask.patienceMs ?? PATIENCE_MS);
    let said = "";
    socket.on("connect", () => {
      // Who was let in is answered, and ends; if not, that is told instead of waiting for ever.
      clearTimeout(timer);
      socket.setTimeout(PATIENCE_MS, () => {
        said += "(and no end)";
        socket.destroy();
      });
      socket.end(ask.send ?? "");
    });
    socket.on("data", (chunk) => (said += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve(error.code ?? "error");
    });
    socket.on("close", () => resolve(said));
  });
}

/** The answers to `count` datagrams, one at a time from one socket. */
function udp(ask: Extract<Ask, { do: "udp" }>): Promise<string> {
  const socket = createSocket(ask.host.includes(":") ? "udp6" : "udp4");
  const answers: string[] = [];
  return new Promise<string>((resolve) => {
    const send = () => socket.send(`n${answers.length}`, ask.port, ask.host);
    const again = setInterval(send, RESEND_MS);
    const timer = setTimeout(() => resolve("timeout"), PATIENCE_MS);
    socket.once("close", () => {
      clearInterval(again);
      clearTimeout(timer);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    socket.on("message", (data, from) => {
      answers.push(`${data} via ${from.address}`);
      if (answers.length < (ask.count ?? 1)) send();
      else resolve(answers.join(", "));
    });
    if (ask.fromPort) socket.bind(ask.fromPort, send);
    else send();
  }).finally(() => socket.close());
}

async function askDns({ name, type }: Extract<Ask, { do: "dns" }>): Promise<string> {
  const resolver = new Resolver({ timeout: 3000, tries: 3 });
  resolver.setServers(["127.0.0.11"]);
  try {
    const found =
      type === "PTR" ? await resolver.reverse(name) : await resolver.resolve(name, type as "A");
    return (found as string[]).flat().sort().join(" ");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** A name server with one answer for everything; "long" needs TCP. */
function serveDns({ host, answer: what }: Extract<Ask, { do: "serve-dns" }>): Promise<string> {
  const reply = (query: Buffer, udp: boolean): Buffer | undefined => {
    if (what === "silence") return undefined;
    let end = 12;
    while (query[end] !== 0) end += query[end]! + 1;
    const head = Buffer.from(query.subarray(0, end + 5));
    head.writeUInt16BE(what === "refuse" ? 0x8185 : udp && what === "long" ? 0x8380 : 0x8180, 2);
    head.fill(0, 6, 12);
    if (what === "refuse" || (udp && what === "long")) return head;
    head.writeUInt16BE(1, 6);
    const text = Buffer.from(what === "long" ? "x".repeat(200) : what);
    const record = Buffer.alloc(13);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(16, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(60, 6);
    record.writeUInt16BE(text.length + 1, 10);
    record.writeUInt8(text.length, 12);
    return Buffer.concat([head, record, text]);
  };
  const udp = createSocket("udp4");
  udp.on("message", (data, from) => {
    const said = reply(data, true);
    if (said) udp.send(said, from.port, from.address);
  });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data: Buffer) => {
      const said = reply(data.subarray(2), false);
      if (!said) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(said.length);
      socket.write(Buffer.concat([length, said]));
    });
  });
  open.push(udp, server);
  return new Promise((resolve, reject) => {
    udp.once("error", reject).bind(53, host, () => {
      server.once("error", reject).listen(53, host, () => resolve("ok"));
    });
  });
}

async function answer(ask: Ask): Promise<string> {
  if (ask.do === "listen") {
    const host = ask.host ?? "0.0.0.0";
    return ask.protocol === "tcp" ? listenTcp(ask.port, host) : listenUdp(ask.port, host);
  }
  if (ask.do === "tcp") return tcp(ask);
  if (ask.do === "udp") return udp(ask);
  if (ask.do === "dns") return askDns(ask);
  if (ask.do === "serve-dns") return serveDns(ask);
  if (ask.do === "call") {
    const exported = (await import(ask.module)) as Record<string, (...args: unknown[]) => unknown>;
    return JSON.stringify((await exported[ask.name]!(...ask.args)) ?? null);
  }
  for (const one of open.splice(0)) one.close();
  return "ok";
}

process.on("message", async ({ id, ask }: { id: number; ask: Ask }) => {
  try {
    process.send?.({ id, said: await answer(ask) });
  } catch (error) {
    process.send?.({ id, said: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
});
process.on("disconnect", () => process.exit(0));
process.send?.({ id: 0, said: "ready" });
