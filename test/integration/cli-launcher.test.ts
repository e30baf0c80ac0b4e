// The launcher: it starts a warm process, uses it, proves who it is, leaves stdin alone, and runs
// plain Node whenever something is not as it should be.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  decodeHello,
  encodeFrame,
  FRAME,
  FrameReader,
  type Hello,
} from "../../src/warm/protocol.ts";
import { buildNative } from "../../tools/build-native.ts";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { readRoutes } from "../support/docker-fixtures.ts";
import { type FakeApi, serveFakeApi } from "../support/fake-docker-api.ts";

const launcher = fileURLToPath(new URL("../../native/build/gantry-launcher", import.meta.url));
const runtime = mkdtempSync(join(tmpdir(), "gantry-launcher-"));
const folder = join(runtime, "gantry");
const apiSocket = join(runtime, "api.sock");
let api: FakeApi;

before(async () => {
  await buildNative();
  await bundleCli();
  api = await serveFakeApi(apiSocket, readRoutes);
});
after(async () => {
  endWarmProcesses();
  await api.close();
  rmSync(runtime, { recursive: true, force: true });
});

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}
function call(
  args: readonly string[],
  stdin = "",
  env: Record<string, string> = {},
): Promise<Result> {
  const child = spawn(launcher, args, {
    env: {
      PATH: process.env["PATH"],
      HOME: runtime,
      XDG_RUNTIME_DIR: runtime,
      DOCKER_HOST: `unix://${apiSocket}`,
      ...env,
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

/** The sockets of warm processes, by the launcher's naming. */
function sockets(): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => /^[0-9a-f]{16}-[0-9a-f]{8}$/.test(name));
}

async function warmSocket(): Promise<string> {
  if (sockets().length === 0) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const watcher = watch(folder);
    try {
      await new Promise<void>((resolve) => {
        const look = () => sockets().length > 0 && resolve();
        watcher.on("change", look);
        look();
      });
    } finally {
      watcher.close();
    }
  }
  return join(folder, sockets()[0]!);
}

function endWarmProcesses(): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let line = "";
    try {
      line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue;
    }
    if (!line.includes("--gantry-warm") || !line.includes(runtime)) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

test("the first call runs in plain Node and starts a warm process for the next ones", async () => {
  const first = await call(["ps", "-q"]);
  assert.deepEqual(first, { code: 0, stdout: "111111111111\n222222222222\n", stderr: "" });
  await warmSocket();
  assert.deepEqual(await call(["ps", "-q"]), first);
  assert.equal((await call(["ps", "--nope"])).code, 125);
});

test("arguments, environment and folder of the caller arrive whole", async () => {
  const path = await warmSocket();
  endWarmProcesses();
  const token = "a".repeat(64);
  rmSync(path, { force: true });
  writeFileSync(`${path}.token`, token, { mode: 0o600 });
  let hello: Hello | undefined;
  const server = createServer((socket) => {
    const reader = new FrameReader();
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      for (const { type, payload } of reader.push(chunk)) {
        if (type === FRAME.hello) {
          hello = decodeHello(payload);
          socket.write(encodeFrame(FRAME.accept));
          socket.write(encodeFrame(FRAME.stdinWanted, Buffer.from([1])));
        } else if (type === FRAME.stdinData) {
          socket.write(encodeFrame(FRAME.stdout, payload));
          socket.write(encodeFrame(FRAME.stderr, Buffer.from("err")));
          socket.end(encodeFrame(FRAME.exit, Buffer.from([7])));
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const result = await call(["a", "", "b c", "é"], "typed", { EMPTY: "", LINES: "1\n2" });
  server.close();
  assert.deepEqual(result, { code: 7, stdout: "typed", stderr: "err" });
  assert.equal(hello?.token, token);
  assert.deepEqual(hello?.argv, ["a", "", "b c", "é"]);
  assert.equal(hello?.env["LINES"], "1\n2");
  assert.equal(hello?.env["EMPTY"], "");
  assert.equal(hello?.cwd, process.cwd());
  assert.equal(hello?.terminals, "000");
});

test("a server that answers nothing useful does not lose the call", async () => {
  const path = join(folder, readdirSync(folder).find((name) => name.endsWith(".token"))!).slice(
    0,
    -6,
  );
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(encodeFrame(FRAME.decline));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const result = await call(["ps", "-q"]);
  server.close();
  assert.equal(result.stdout, "111111111111\n222222222222\n");
});

test("a warm process declines a caller without its token", async () => {
  endWarmProcesses();
  rmSync(folder, { recursive: true, force: true });
  await call(["ps", "-q"]);
  const path = await warmSocket();
  writeFileSync(`${path}.token`, "b".repeat(64));
  assert.equal((await call(["ps", "-q"])).stdout, "111111111111\n222222222222\n");
});

test("a folder that others may enter is not trusted", async () => {
  endWarmProcesses();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  assert.equal((await call(["ps", "-q"])).stdout, "111111111111\n222222222222\n");
  assert.deepEqual(readdirSync(folder), []);
});

test("what a command does not read of stdin is left for others", async () => {
  rmSync(folder, { recursive: true, force: true });
  await call(["ps", "-q"]);
  await warmSocket();
  const input = join(runtime, "input");
  writeFileSync(input, "for another program\n");
  const script = `{ "$1" ps -q >/dev/null; cat; } < "$2"`;
  const child = spawn("sh", ["-c", script, "sh", launcher, input], {
    env: {
      PATH: process.env["PATH"],
      HOME: runtime,
      XDG_RUNTIME_DIR: runtime,
      DOCKER_HOST: `unix://${apiSocket}`,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  await new Promise((resolve) => child.on("close", resolve));
  assert.equal(stdout, "for another program\n");
});
