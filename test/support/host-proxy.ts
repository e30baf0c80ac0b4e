// An HTTP proxy for a daemon in a network namespace of its own: requests go through a unix socket,
// which knows no namespaces, to this process, which has the host's network. Only what apt needs.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer, request } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface HostProxy {
  /** Within the namespace. */
  url: string;
  close(): Promise<void>;
}

/** `pid` is a process in the namespace. */
export async function startHostProxy(folder: string, pid: number): Promise<HostProxy> {
  const path = join(folder, "proxy.sock");
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
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const relay: ChildProcess = spawn(
    "nsenter",
    ["-t", String(pid), "-n", "--", process.execPath, fileURLToPath(import.meta.url), path],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const [port] = (await once(relay.stdout!, "data")) as [Buffer];
  return {
    url: `http://127.0.0.1:${port.toString().trim()}`,
    async close() {
      relay.stdin!.end();
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
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
  });
  process.stdin.resume().on("end", () => process.exit());
}

if (import.meta.main) relayTo(process.argv[2]!);
