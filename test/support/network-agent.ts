// A process that lives in a network namespace of its own and does there what a test asks over
// IPC: listen, connect, send datagrams. Started by network-lab.ts.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Server } from "node:net";

export type Ask =
  | { do: "listen"; protocol: "tcp" | "udp"; port: number; host?: string }
  | { do: "tcp"; host: string; port: number; send?: string; patienceMs?: number }
  | { do: "udp"; host: string; port: number; count?: number; fromPort?: number }
  | { do: "close" };

/** Far more than an answer takes; a test that expects none says less. */
const PATIENCE_MS = 8000;
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
      clearTimeout(timer);
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

async function answer(ask: Ask): Promise<string> {
  if (ask.do === "listen") {
    const host = ask.host ?? "0.0.0.0";
    return ask.protocol === "tcp" ? listenTcp(ask.port, host) : listenUdp(ask.port, host);
  }
  if (ask.do === "tcp") return tcp(ask);
  if (ask.do === "udp") return udp(ask);
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
