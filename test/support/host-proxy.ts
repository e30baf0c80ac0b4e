// An HTTP proxy for a daemon in a network namespace of its own: requests go through a unix socket,
// which knows no namespaces, to this process, which has the host's network. It listens on every
// address in the namespace, so that containers reach it at their gateway.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer, request } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";

export interface HostProxy {
  /** Within the namespace. */
  url: string;
  port: number;
  close(): Promise<void>;
}

/** `pid` is a process in the namespace. */
export async function startHostProxy(folder: string, pid: number): Promise<HostProxy> {
  const path = join(folder, "proxy.sock");
  const tunnels = new Set<Duplex>();
  const server = createHttpServer((asked, answer) => {
    const onward = request(asked.url ?? "", { method: asked.method, headers: asked.headers });
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    onward.on("error", () => answer.writeHead(502).end());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  });
  // HTTPS: bytes are passed on as they are.
  server.on("connect", (asked, inside, head) => {
    const { hostname, port } = new URL(`http://${asked.url}`);
    const outside = connect(Number(port || 80), hostname, () => {
      inside.write("HTTP/1.1 200 Connection established\r\n\r\n");
      outside.write(head);
      inside.pipe(outside).pipe(inside);
    });
    inside.on("error", () => outside.destroy()).on("close", () => outside.destroy());
    outside.on("error", () => inside.destroy()).on("close", () => inside.destroy());
    tunnels.add(inside);
    inside.on("close", () => tunnels.delete(inside));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const relay: ChildProcess = spawn(
    "nsenter",
    ["-t", String(pid), "-n", "--", process.execPath, fileURLToPath(import.meta.url), path],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const [said] = (await once(relay.stdout!, "data")) as [Buffer];
  const port = Number(said.toString());
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async close() {
      relay.stdin!.end();
      for (const tunnel of tunnels) tunnel.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The other end, inside the namespace; ends with its starter. */
function relayTo(path: string): void {
  const server = createServer((inside) => {
    const outside = connect(path);
    inside.pipe(outside).pipe(inside);
    inside.on("error", () => outside.destroy());
    outside.on("error", () => inside.destroy());
  });
  server.listen(0, "0.0.0.0", () => {
    const address = server.address();
    process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
  });
  process.stdin.resume().on("end", () => process.exit());
}

if (import.meta.main) relayTo(process.argv[2]!);
