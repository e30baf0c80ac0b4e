// `run`, `exec` and `cp` against a scripted API: the order of requests, streams, exit codes.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, test } from "node:test";
import { main } from "../../src/cli/main.ts";
import { type FakeApi, type Routes, serveFakeApi } from "../support/fake-docker-api.ts";
import { type MemoryIo, memoryIo } from "../support/memory-io.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-cli-run-"));
const socket = join(folder, "api.sock");
const ID = "c".repeat(64);
let api: FakeApi | undefined;
afterEach(async () => {
  await api?.close();
  api = undefined;
});
after(() => rmSync(folder, { recursive: true }));

function frame(stream: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.from([stream, 0, 0, 0, 0, 0, 0, payload.length]);
  return Buffer.concat([head, payload]);
}

/** A daemon on which every container prints and ends with `code`. */
function daemon(code: number, overrides: Routes = {}): Routes {
  let attached: Socket | undefined;
  let started: () => void = () => {};
  const start = new Promise<void>((resolve) => (started = resolve));
  return {
    "POST /containers/create": { status: 201, body: { Id: ID, Warnings: ["careful"] } },
    [`POST /containers/${ID}/attach`]: {
      hijack: (stream) => {
        attached = stream;
        void start.then(() => {
          stream.write(frame(1, "out"));
          stream.end(frame(2, "err"));
        });
      },
    },
    [`POST /containers/${ID}/wait`]: { body: { StatusCode: code } },
    [`POST /containers/${ID}/start`]: () => {
      started();
      void attached;
      return { status: 204 };
    },
    ...overrides,
  };
}

async function gantry(
  routes: Routes,
  args: readonly string[],
  stdin = "",
): Promise<{ code: number; io: MemoryIo; asked: string[] }> {
  api = await serveFakeApi(socket, routes);
  const env = { DOCKER_HOST: `unix://${socket}`, HOME: folder };
  const io = memoryIo(args, { env, stdin, cwd: folder });
  const code = await main(io);
  const asked = api.requests.map(({ method, path }) => `${method} ${path.replace(ID, "ID")}`);
  return { code, io, asked };
}

test("run attaches and waits before it starts, and passes streams and exit code on", async () => {
  const { code, io, asked } = await gantry(daemon(7), ["run", "alpine", "cmd"]);
  assert.equal(code, 7);
  assert.equal(io.stdoutText(), "out");
  assert.equal(io.stderrText(), "WARNING: careful\nerr");
  assert.equal(asked[0], "POST /containers/create");
  assert.deepEqual(asked.slice(1, 3).sort(), [
    "POST /containers/ID/attach",
    "POST /containers/ID/wait",
  ]);
  assert.equal(asked[3], "POST /containers/ID/start");
  const wait = api?.requests.find(({ path }) => path.endsWith("/wait"));
  assert.equal(wait?.query["condition"], "next-exit");
});

test("run --rm waits for the removal", async () => {
  await gantry(daemon(0), ["run", "--rm", "alpine"]);
  const wait = api?.requests.find(({ path }) => path.endsWith("/wait"));
  assert.equal(wait?.query["condition"], "removed");
});

test("run -d prints the id and attaches nothing", async () => {
  const { code, io, asked } = await gantry(daemon(0), ["run", "-d", "alpine"]);
  assert.equal(code, 0);
  assert.equal(io.stdoutText(), `${ID}\n`);
  assert.deepEqual(asked, ["POST /containers/create", "POST /containers/ID/start"]);
});

for (const [message, expected] of [
  ['exec: "x": executable file not found in $PATH', 127],
  ["exec: /x: permission denied", 126],
  ["driver failed programming external connectivity", 125],
] as const) {
  test(`a start that fails with "${message}" ends with ${expected}`, async () => {
    const routes = daemon(0, {
      [`POST /containers/${ID}/start`]: { status: 400, body: { message } },
    });
    const { code, io } = await gantry(routes, ["run", "alpine"]);
    assert.equal(code, expected);
    assert.match(
      io.stderrText(),
      /gantry: Error response from daemon: .*\n\nRun 'gantry run --help'/,
    );
  });
}

test("a missing image is pulled, and the container created again", async () => {
  let pulled = false;
  const routes = daemon(0, {
    "POST /containers/create": () =>
      pulled
        ? { status: 201, body: { Id: ID } }
        : { status: 404, body: { message: "No such image: alpine:3.20" } },
    "POST /images/create": () => {
      pulled = true;
      return { body: '{"status":"Pulling from library/alpine","id":"3.20"}\r\n' };
    },
  });
  const { code, io, asked } = await gantry(routes, ["run", "alpine:3.20"]);
  assert.equal(code, 0);
  assert.match(io.stderrText(), /^Unable to find image 'alpine:3.20' locally\n3.20: Pulling from/);
  assert.deepEqual(asked.slice(0, 3), [
    "POST /containers/create",
    "POST /images/create",
    "POST /containers/create",
  ]);
});

test("--pull never leaves a missing image missing", async () => {
  const routes = daemon(0, {
    "POST /containers/create": { status: 404, body: { message: "No such image: alpine:3.20" } },
  });
  const { code, asked } = await gantry(routes, ["run", "--pull", "never", "alpine:3.20"]);
  assert.equal(code, 125);
  // The list is for a name that may have been meant.
  assert.deepEqual(asked, ["POST /containers/create", "GET /images/json"]);
});

test("a failed create leaves no id file behind", async () => {
  const routes = daemon(0, {
    "POST /containers/create": { status: 409, body: { message: "name in use" } },
  });
  const { code } = await gantry(routes, ["run", "--cidfile", "cid", "alpine"]);
  assert.equal(code, 125);
  assert.throws(() => readFileSync(join(folder, "cid")));
});

test("the id file holds the id", async () => {
  await gantry(daemon(0), ["create", "--cidfile", "cid2", "alpine"]);
  assert.equal(readFileSync(join(folder, "cid2"), "utf8"), ID);
});

test("stdin goes to the container, and its end is passed on", async () => {
  let received = "";
  const routes = daemon(0, {
    [`POST /containers/${ID}/attach`]: {
      hijack: (stream, head) => {
        received += head.toString();
        stream.on("data", (chunk: Buffer) => (received += chunk));
        stream.on("end", () => stream.end(frame(1, "done")));
      },
    },
  });
  const { code, io } = await gantry(routes, ["run", "-i", "alpine"], "typed");
  assert.equal(code, 0);
  assert.equal(received, "typed");
  assert.equal(io.stdoutText(), "done");
});

test("exec answers with the command's exit code", async () => {
  const routes: Routes = {
    "POST /containers/web/exec": { status: 201, body: { Id: "e1" } },
    "POST /exec/e1/start": { hijack: (stream) => void stream.end(frame(1, "hi")) },
    "GET /exec/e1/json": { body: { ExitCode: 42, Running: false } },
  };
  const { code, io } = await gantry(routes, ["exec", "-e", "A=1", "web", "cmd", "-x"]);
  assert.equal(code, 42);
  assert.equal(io.stdoutText(), "hi");
  const body = JSON.parse(api!.requests[0]!.body);
  assert.deepEqual(body.Cmd, ["cmd", "-x"]);
  assert.deepEqual(body.Env, ["A=1"]);
});

test("config.json's proxies become variables of the container", async () => {
  const config = { proxies: { default: { httpProxy: "http://p:1", noProxy: "x" } } };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  await gantry(daemon(0), ["--config", folder, "create", "-e", "HTTP_PROXY=own", "alpine"]);
  const { Env } = JSON.parse(api!.requests[0]!.body) as { Env: string[] };
  assert.deepEqual(Env.sort(), [
    "HTTP_PROXY=own",
    "NO_PROXY=x",
    "http_proxy=http://p:1",
    "no_proxy=x",
  ]);
});

test("start passes a checkpoint on, and only one container's", async () => {
  const routes: Routes = { "POST /containers/web/start": { status: 204 } };
  const flags = ["--checkpoint", "before", "--checkpoint-dir", "/kept"];
  const { code } = await gantry(routes, ["start", ...flags, "web"]);
  assert.equal(code, 0);
  assert.deepEqual(api!.requests[0]!.query, { checkpoint: "before", "checkpoint-dir": "/kept" });
  await api!.close();
  const two = await gantry(routes, ["start", ...flags, "web", "other"]);
  assert.equal(two.code, 1);
  assert.match(two.io.stderrText(), /you cannot restore multiple containers at once/);
  assert.deepEqual(two.asked, []);
});

test("volume ls --cluster lists no volume that is of no cluster", async () => {
  const routes: Routes = {
    "GET /volumes": { body: { Volumes: [{ Name: "own", Driver: "local" }] } },
  };
  const { io } = await gantry(routes, ["volume", "ls", "--cluster"]);
  assert.match(io.stdoutText(), /^VOLUME NAME +GROUP +DRIVER +AVAILABILITY +STATUS\n$/);
});

test("imagetools know no builder but the daemon", async () => {
  for (const verb of ["inspect", "create"]) {
    const args = ["buildx", "imagetools", verb, "--builder", "other", "alpine"];
    const { code, io } = await gantry({}, args);
    assert.equal(code, 1);
    assert.match(io.stderrText(), /no builder "other" found/);
    await api!.close();
  }
});
