// The port holder on the loopback of this machine: what it holds, what it carries, when it ends.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { nativeProgramPath } from "../../src/native/index.ts";
import {
  connectPortHolder,
  type HeldPort,
  type PortHolder,
  startPortHolder,
} from "../../src/network/port-holder.ts";

let dir: string;
let path: string;
let holder: PortHolder;
const start = () => startPortHolder({ path, command: [nativeProgramPath, "ports"], idleMs: 100 });

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "gantry-ports-"));
  path = join(dir, "ports.sock");
  holder = await start();
});
after(async () => {
  await holder.stop().catch(() => {});
  holder.close();
  await rm(dir, { recursive: true, force: true });
});

const held = (key: string, port: number, target: number): HeldPort => ({
  key,
  protocol: "tcp",
  ip: "127.0.0.1",
  port,
  target: { ip: "127.0.0.1", port: target },
});

async function serve(
  onConnection: (socket: Socket) => void,
): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, onConnection);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { server, port: (server.address() as { port: number }).port };
}

/** Binds the first port that is free, for `target`. */
async function bindFree(key: string, target: number): Promise<number> {
  for (let port = 20_000 + Math.floor(Math.random() * 5000); ; port++) {
    const errno = await holder.bind(held(key, port, target));
    if (errno === undefined) return port;
    assert.equal(errno, "EADDRINUSE");
  }
}

test("what is held is listed, bound for real, and let go by key or one by one", async () => {
  const one = await bindFree("k1", 9);
  const two = await bindFree("k1", 9);
  const other = await bindFree("k2", 9);
  const taken = createServer();
  taken.listen(one, "127.0.0.1");
  const [error] = await once(taken, "error");
  assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
  assert.equal((await holder.list()).length, 3);
  assert.equal(await holder.bind(held("k2", one, 9)), "EADDRINUSE", "another's");
  assert.equal(await holder.unbind("k1", held("k1", two, 9)), 1);
  assert.equal(await holder.unbind("k1"), 1);
  assert.deepEqual(await holder.list(), [held("k2", other, 9)]);
  assert.equal(await holder.unbind("k2"), 1);
  assert.equal(await holder.unbind("k2"), 0);
});

test("a large transfer arrives whole in both directions, and each half ends on its own", async () => {
  const sent = randomBytes(8 << 20);
  const { server, port: target } = await serve((socket) => {
    const hash = createHash("sha256");
    socket.on("data", (chunk) => hash.update(chunk));
    // Answers only after the client has ended its half.
    socket.on("end", () => {
      socket.write(sent);
      socket.end(hash.digest("hex"));
    });
  });
  const port = await bindFree("big", target);
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const answer = Buffer.concat(chunks);
  assert.equal(
    answer.subarray(sent.length).toString(),
    createHash("sha256").update(sent).digest("hex"),
  );
  assert.ok(answer.subarray(0, sent.length).equals(sent));
  await holder.unbind("big");
  server.close();
});

test("hundreds of connections at once are carried, and outlive the end of their listener", async () => {
  const { server, port: target } = await serve((socket) => {
    socket.pipe(socket);
  });
  const port = await bindFree("many", target);
  const sockets = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.write("a");
      await once(socket, "readable");
      return socket;
    }),
  );
  await holder.unbind("many");
  const said = await Promise.all(
    sockets.map((socket, n) => {
      socket.end(`${n}`);
      return text(socket);
    }),
  );
  assert.deepEqual(
    said,
    sockets.map((_, n) => `a${n}`),
  );
  server.close();
});

test("a target that refuses is passed on as a reset", async () => {
  const { server, port: target } = await serve(() => {});
  server.close();
  await once(server, "close");
  const port = await bindFree("none", target);
  const socket = connect({ port, host: "127.0.0.1" });
  const [error] = await once(socket, "error");
  assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");
  await holder.unbind("none");
});

test("a thousand ports are bound by one write", async () => {
  const ports = Array.from({ length: 1000 }, (_, n) => held("range", 26_000 + n, 9));
  const answers = await Promise.all(ports.map((port) => holder.bind(port)));
  assert.ok(answers.filter((errno) => errno === undefined).length > 900);
  assert.ok((await holder.list()).length > 900);
  assert.ok((await holder.unbind("range")) > 900);
});

test("malformed requests end the connection, or are refused, and harm nobody", async () => {
  for (const line of ["x\n", `${"y".repeat(2000)}\n`, "1 bind a b c d e f g h i\n"]) {
    const socket = connect(path);
    socket.write(line);
    await once(socket.resume(), "close");
  }
  assert.equal(await holder.bind({ ...held("k", 1, 1), ip: "nonsense" }), "EINVAL");
  assert.equal(await holder.bind({ ...held("k", 0, 1) }), "EINVAL");
  assert.deepEqual(await holder.list(), []);
});

test("one holder serves every daemon that comes, and ends when it holds nothing", async () => {
  const second = await start();
  assert.equal(second.pid, holder.pid);
  second.close();
  await bindFree("stays", 9);
  const { pid } = holder;
  holder.close();
  holder = (await connectPortHolder(path))!;
  assert.equal(holder.pid, pid);
  assert.equal((await holder.list()).length, 1);
  await holder.stop();
  assert.equal(await connectPortHolder(path), undefined);
  const idle = await start();
  idle.close();
  const probe = async (): Promise<boolean> => {
    try {
      process.kill(idle.pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  for (let tries = 0; tries < 600 && (await probe()); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await probe(), false, "nothing to hold, nobody connected");
});

test("of several that are started at once one lives, and all who started them speak with it", async () => {
  const own = join(dir, "contested.sock");
  const command = [nativeProgramPath, "ports"];
  for (let round = 0; round < 10; round++) {
    const starts = Array.from({ length: 8 }, () =>
      startPortHolder({ path: own, command, idleMs: 1 }),
    );
    const ends = await Promise.allSettled(starts);
    const holders = ends.flatMap((end) => (end.status === "fulfilled" ? [end.value] : []));
    const pids = new Set(holders.map(({ pid }) => pid));
    await Promise.all(holders.map((one) => one.stop().catch(() => {})));
    for (const one of holders) one.close();
    assert.deepEqual(new Set(ends.map(({ status }) => status)), new Set(["fulfilled"]));
    assert.equal(pids.size, 1);
    await assert.rejects(access(own), { code: "ENOENT" });
    await assert.rejects(access(`${own}.lock`), { code: "ENOENT" });
  }
});
