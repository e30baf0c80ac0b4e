// Git repositories over http on the loopback, by git's own CGI program; with a token where a test
// wants one. Skips nothing by itself: see `hasGit`.

import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";

const BACKENDS = ["/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend"];
export const httpBackend: string | undefined = BACKENDS.find(existsSync);

export interface GitServer {
  url: string;
  /** The authorizations that came. */
  seen: (string | undefined)[];
  /** Requests for packs: what was really fetched. */
  fetches: number;
  /** What must be said to be let in; undefined: nothing. */
  authorization: string | undefined;
  close(): Promise<void>;
}

/** Serves every repository beneath a folder. */
export async function gitServer(root: string): Promise<GitServer> {
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    state.seen.push(authorization);
    if (state.authorization !== undefined && authorization !== state.authorization) {
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
      return;
    }
    const url = new URL(request.url ?? "/", "http://localhost");
    if (url.pathname.endsWith("/git-upload-pack") && request.method === "POST") state.fetches++;
    const child = spawn(httpBackend!, {
      env: {
        ...{ GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: "1", PATH_INFO: url.pathname },
        ...{ QUERY_STRING: url.search.slice(1), REQUEST_METHOD: request.method ?? "GET" },
        ...{ CONTENT_TYPE: request.headers["content-type"] ?? "", PATH: process.env["PATH"] ?? "" },
        HTTP_CONTENT_ENCODING: String(request.headers["content-encoding"] ?? ""),
        GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
        ...{ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" },
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
    request.pipe(child.stdin);
    child.stdin.on("error", () => {});
    let head = Buffer.alloc(0);
    let said = false;
    child.stdout.on("data", (chunk: Buffer) => {
      if (said) return void response.write(chunk);
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      said = true;
      const lines = head.toString("latin1", 0, end).split("\r\n");
      const pairs = lines.map((line) => line.split(": ") as [string, string]);
      const headers = new Map(pairs.map(([key, value]) => [key.toLowerCase(), value]));
      const status = Number.parseInt(headers.get("status") ?? "200", 10);
      headers.delete("status");
      response.writeHead(status, Object.fromEntries(headers));
      response.write(head.subarray(end + 4));
    });
    child.stdout.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const state: GitServer = {
    ...{ url: `http://127.0.0.1:${port}`, seen: [], fetches: 0, authorization: undefined },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return state;
}

/** Runs git for a test, with an author and without anybody's configuration. */
export async function gitHere(cwd: string, ...args: string[]): Promise<string> {
  const names = ["AUTHOR", "COMMITTER"].flatMap((who) => [
    [`GIT_${who}_NAME`, "t"],
    [`GIT_${who}_EMAIL`, "t@t"],
    [`GIT_${who}_DATE`, "1700000000 +0000"],
  ]);
  const env = {
    ...{ PATH: process.env["PATH"] ?? "", HOME: cwd, GIT_CONFIG_GLOBAL: "/dev/null" },
    ...{ GIT_CONFIG_NOSYSTEM: "1", GIT_ALLOW_PROTOCOL: "file:http" },
    ...Object.fromEntries(names),
  };
  // Not waited for with the loop stopped: the server that it may speak to lives in this process.
  const { stdout } = await promisify(execFile)("git", args, { cwd, env, timeout: 30_000 });
  return stdout.trim();
}
