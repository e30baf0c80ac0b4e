// Health checks that ask a server: what well-behaved and hostile servers make of them. The servers
// are this process's own, on loopback; a probe joins the network namespace of this process.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { probeServer } from "../../src/engine/containers/health-servers.ts";
import { healthTarget } from "../../src/engine/containers/health-target.ts";
import { NativeFixture } from "../support/native-fixture.ts";

const LONG_MS = 60_000;

let native: NativeFixture;
const servers: Server[] = [];
const sockets = new Set<Socket>();
before(async () => {
  native = await NativeFixture.make();
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await native[Symbol.asyncDispose]();
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
const http = (listener: RequestListener) => listen(createHttpServer(listener));
/** A server that says `text` and then does `next`. */
const raw = (next: (socket: Socket) => void) => listen(createServer(next));

async function probe(words: string[], o: { timeoutMs?: number; signal?: AbortSignal } = {}) {
  const target = healthTarget({ Test: words }, null);
  assert(target && target.kind !== "command");
  return await probeServer(target, {
    native: native.spawner,
    pid: process.pid,
    timeoutMs: o.timeoutMs ?? LONG_MS,
    signal: o.signal ?? new AbortController().signal,
  });
}

test("a server that answers is healthy, with its answer in the log", async () => {
  const port = await http((request, response) => {
    response.end(`${request.method} ${request.url} ${request.headers["x-why"]}`);
  });
  const words = ["HTTP", `http://:${port}/health?x=1`, "header=X-Why: test"];
  assert.deepEqual(await probe(words), {
    ExitCode: 0,
    Output: `GET http://localhost:${port}/health?x=1: HTTP/1.1 200 OK\nGET /health?x=1 test`,
  });
  const tcp = await probe(["TCP", `:${port}`]);
  assert.deepEqual(tcp, { ExitCode: 0, Output: `tcp://localhost:${port}: connected` });
});

test("a status outside the wanted ones is a failure", async () => {
  const port = await http((request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end();
  });
  const code = async (status: number, ...options: string[]) =>
    (await probe(["HTTP", `http://:${port}/${status}`, ...options])).ExitCode;
  assert.deepEqual(
    [await code(204), await code(304), await code(404), await code(503)],
    [0, 0, 1, 1],
  );
  assert.deepEqual([await code(200, "status=201"), await code(418, "status=418")], [1, 0]);
});

test("redirects are followed on the same server only, and not for ever", async () => {
  const port = await http((request, response) => {
    const to: Record<string, string> = {
      "/old": "/new",
      "/loop": "/loop",
      "/away": "http://169.254.169.254/latest",
    };
    const location = to[request.url ?? ""];
    if (location) response.writeHead(302, { location }).end();
    else response.writeHead(request.url === "/new" ? 503 : 200).end();
  });
  const result = (path: string, ...options: string[]) =>
    probe(["HTTP", `http://:${port}${path}`, ...options]);
  assert.match((await result("/old")).Output, /\/new: HTTP\/1.1 503/);
  assert.equal((await result("/old", "status=302")).ExitCode, 0);
  assert.match((await result("/loop")).Output, /more than 5 redirects/);
  const away = await result("/away");
  assert.deepEqual([away.ExitCode, /302 Found/.test(away.Output)], [0, true]);
});

test("a port that nobody listens on is refused", async () => {
  const port = await http(() => {});
  const closed = servers.at(-1)!;
  closed.close();
  await once(closed, "close");
  const result = await probe(["HTTP", `http://:${port}/`]);
  assert.deepEqual(result, {
    ExitCode: 1,
    Output: `http://localhost:${port}/: connection refused`,
  });
});

test("a server that never answers costs its time and no more", async () => {
  const port = await raw(() => {});
  const result = await probe(["HTTP", `http://:${port}/`], { timeoutMs: 100 });
  assert.deepEqual(result, {
    ExitCode: -1,
    Output: "Health check exceeded timeout (100ms)",
  });
});

test("a head that drips for ever is over with the time", async () => {
  const port = await raw((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    const drip = setInterval(() => socket.write("X-A: b\r\n"), 10);
    socket.on("close", () => clearInterval(drip));
  });
  const result = await probe(["HTTP", `http://:${port}/`], { timeoutMs: 300 });
  assert.equal(result.ExitCode, -1);
});

test("a body without an end is cut, and the status counts", async () => {
  const port = await raw((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    const more = (): void => {
      while (socket.writable && socket.write(Buffer.alloc(65_536, "z")));
      socket.once("drain", more);
    };
    more();
  });
  const result = await probe(["HTTP", `http://:${port}/`]);
  assert.equal(result.ExitCode, 0);
  assert.equal(result.Output.length, 4096 + 3);
});

test("a server that keeps the connection is not waited for", async () => {
  const port = await raw((socket) => socket.write("HTTP/1.1 200 OK\r\n\r\nwell"));
  assert.match((await probe(["HTTP", `http://:${port}/`])).Output, /200 OK\nwell$/);
});

test("a server that speaks something else, or nothing, is unhealthy", async () => {
  const ssh = await raw((socket) => socket.end("SSH-2.0-x\r\n"));
  const silent = await raw((socket) => socket.resetAndDestroy());
  const endless = await raw((socket) => socket.write(`HTTP/1.1 200 OK\r\n${"a".repeat(65_536)}`));
  for (const port of [ssh, silent, endless]) {
    assert.equal((await probe(["HTTP", `http://:${port}/`])).ExitCode, 1);
  }
});

test("a container that ends takes its probe with it", async () => {
  const port = await raw(() => stop.abort());
  const stop = new AbortController();
  await assert.rejects(probe(["HTTP", `http://:${port}/`], { signal: stop.signal }));
});

test("more probes than the native program may hold wait for one another", async () => {
  const port = await http((_, response) => response.end());
  const results = await Promise.all(
    Array.from({ length: 150 }, () => probe(["HTTP", `http://:${port}/`])),
  );
  assert(results.every(({ ExitCode }) => ExitCode === 0));
});
