// The daemon's outside: sockets and their modes, pid file, lock, signals, reload, TLS. The engine
// is a fake; the processes, sockets and certificates are real.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { access, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { request as tlsRequest } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const entry = fileURLToPath(new URL("../fakes/daemon.ts", import.meta.url));
const isRoot = process.getuid?.() === 0;
let folder = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-daemon-"));
});
after(() => rm(folder, { recursive: true, force: true }));

interface Daemon {
  child: ChildProcess;
  log(): string;
  /** Resolves when the log matches. */
  seen(wanted: RegExp): Promise<void>;
  exited: Promise<number | null>;
}
const running: Daemon[] = [];

function start(...args: string[]): Daemon {
  const child = spawn(process.execPath, [entry, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: folder },
  });
  let log = "";
  const waiting: { wanted: RegExp; resolve: () => void }[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      for (const one of waiting) if (one.wanted.test(log)) one.resolve();
    });
  }
  const exited = once(child, "close").then(([code]) => code as number | null);
  const seen = (wanted: RegExp): Promise<void> => {
    if (wanted.test(log)) return Promise.resolve();
    const ended = exited.then(() => {
      if (!wanted.test(log)) throw new Error(`the daemon ended without ${wanted}:\n${log}`);
    });
    return Promise.race([new Promise<void>((resolve) => waiting.push({ wanted, resolve })), ended]);
  };
  const daemon = { child, log: () => log, seen, exited };
  running.push(daemon);
  return daemon;
}
const READY = /Daemon has completed initialization/;
afterEach(async () => {
  for (const { child, exited } of running.splice(0)) {
    child.kill("SIGKILL");
    await exited;
  }
});

/** Flags that keep a daemon inside a folder of its own. */
function places(name: string): { args: string[]; socket: string; pidfile: string } {
  const at = (file: string): string => join(folder, name, file);
  const socket = at("api.sock");
  const pidfile = at("daemon.pid");
  const args = ["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", pidfile];
  return { args: [...args, "--config-file", at("daemon.json")], socket, pidfile };
}

const get = (socketPath: string, path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, agent: false }, async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      resolve(body);
    });
    outgoing.on("error", reject);
    outgoing.end();
  });

test("a daemon serves its socket, and SIGTERM ends it without a trace", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args, socket, pidfile } = places("one");
  await run("mkdir", ["-p", join(folder, "one")]);
  await writeFile(join(folder, "one", "daemon.json"), "{}");
  const daemon = start(...args, "-H", `unix://${socket}`, "--group", "0");
  await daemon.seen(READY);
  assert.equal(await get(socket, "/_ping"), "OK");
  assert.equal((await stat(socket)).mode & 0o777, 0o660);
  assert.equal(await readFile(pidfile, "utf8"), String(daemon.child.pid));
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.exited, 0);
  assert.match(daemon.log(), /Processing signal 'terminated'.*fake engine closed/s);
  for (const path of [socket, pidfile]) await assert.rejects(access(path), { code: "ENOENT" });
});

test("a second daemon is refused the data root, the pid file and the socket", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args, socket } = places("two");
  await run("mkdir", ["-p", join(folder, "two")]);
  await writeFile(join(folder, "two", "daemon.json"), "{}");
  const first = start(...args, "-H", `unix://${socket}`);
  await first.seen(READY);
  const sameRoot = start(...args, "-H", `unix://${socket}`);
  assert.equal(await sameRoot.exited, 1);
  const pid = first.child.pid;
  assert.match(
    sameRoot.log(),
    new RegExp(`another daemon \\(process ${pid}\\) uses the data root`),
  );
  const otherRoot = ["--data-root", join(folder, "two", "other")];
  const samePidfile = start(...args, ...otherRoot, "-H", `unix://${socket}`);
  assert.equal(await samePidfile.exited, 1);
  assert.match(samePidfile.log(), /process with PID \d+ is still running/);
  const sameSocket = start(...args, ...otherRoot, "--pidfile", "", "-H", `unix://${socket}`);
  assert.equal(await sameSocket.exited, 1);
  assert.match(sameSocket.log(), /another daemon is listening on it/);
  assert.equal(await get(socket, "/_ping"), "OK");
});

test("what a killed daemon left behind does not stop the next one", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args, socket } = places("three");
  await run("mkdir", ["-p", join(folder, "three")]);
  await writeFile(join(folder, "three", "daemon.json"), "{}");
  const first = start(...args, "-H", `unix://${socket}`);
  await first.seen(READY);
  first.child.kill("SIGKILL");
  await first.exited;
  await access(socket);
  const second = start(...args, "-H", `unix://${socket}`);
  await second.seen(READY);
  assert.equal(await get(socket, "/_ping"), "OK");
});

test("SIGHUP applies what may change, and a broken file changes nothing", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args, socket } = places("four");
  const file = join(folder, "four", "daemon.json");
  await run("mkdir", ["-p", join(folder, "four")]);
  await writeFile(file, '{"labels":["stage=one"]}');
  const daemon = start(...args, "-H", `unix://${socket}`);
  await daemon.seen(READY);
  assert.deepEqual(JSON.parse(await get(socket, "/info")).Labels, ["stage=one"]);
  await writeFile(file, '{"labels":["stage=two"],"debug":true}');
  daemon.child.kill("SIGHUP");
  await daemon.seen(/Reloaded configuration/);
  const info = JSON.parse(await get(socket, "/info"));
  assert.deepEqual([info.Labels, info.Debug], [["stage=two"], true]);
  await writeFile(file, '{"lables":[]}');
  daemon.child.kill("SIGHUP");
  await daemon.seen(/Failed to reload the configuration.*lables/);
  assert.deepEqual(JSON.parse(await get(socket, "/info")).Labels, ["stage=two"]);
});

test("what comes while the daemon starts does not end it, and a reload is made up for", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args, socket } = places("early");
  await run("mkdir", ["-p", join(folder, "early")]);
  await writeFile(join(folder, "early", "daemon.json"), "{}");
  process.env["GANTRY_FAKE_TROUBLE"] = "1";
  const daemon = start(...args, "-H", `unix://${socket}`);
  delete process.env["GANTRY_FAKE_TROUBLE"];
  await daemon.seen(/Reloaded configuration/);
  assert.match(daemon.log(), /Unhandled rejection.*nobody waits.*completed initialization/s);
  assert.equal(await get(socket, "/_ping"), "OK");
});

test("with --tlsverify only clients of the CA get in", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const certs = join(folder, "certs");
  try {
    await makeCertificates(certs);
  } catch (error) {
    return t.skip(`openssl is missing: ${String(error)}`);
  }
  const { args } = places("tls");
  await run("mkdir", ["-p", join(folder, "tls")]);
  await writeFile(join(folder, "tls", "daemon.json"), "{}");
  const file = (name: string): string => join(certs, name);
  const daemon = start(
    ...args,
    ...["-H", "tcp://127.0.0.1:0", "--tlsverify", "--tlscacert", file("ca.pem")],
    ...["--tlscert", file("server.pem"), "--tlskey", file("server.key")],
  );
  await daemon.seen(READY);
  const port = portOf(daemon);
  const ask = (client: string | undefined): Promise<string> =>
    new Promise((resolve, reject) => {
      const identity =
        client === undefined
          ? {}
          : { cert: readFileSync(file(`${client}.pem`)), key: readFileSync(file(`${client}.key`)) };
      const options = { host: "127.0.0.1", port, path: "/_ping", agent: false as const };
      const outgoing = tlsRequest(
        { ...options, ...identity, ca: readFileSync(file("ca.pem")) },
        async (response) => {
          let body = "";
          for await (const chunk of response) body += chunk;
          resolve(body);
        },
      );
      outgoing.on("error", reject);
      outgoing.end();
    });
  assert.equal(await ask("client"), "OK");
  await assert.rejects(ask(undefined));
  await assert.rejects(ask("stranger"));
  assert.doesNotMatch(daemon.log(), /DEPRECATION/);
  const read = (name: string): Buffer => readFileSync(file(name));
  const identity = { cert: read("client.pem"), key: read("client.key"), ca: read("ca.pem") };
  await attachOverTls(port, identity);
  await dockerOverTls(port, file);
});

/** The port that the kernel chose for `tcp://127.0.0.1:0`. */
function portOf(daemon: Daemon): number {
  return Number(/API listen on 127\.0\.0\.1:(\d+)/.exec(daemon.log())?.[1]);
}

/** A hijacked connection is a TLS stream here. */
async function attachOverTls(port: number, certificates: object): Promise<void> {
  const socket = connectTls({ host: "127.0.0.1", port, ...certificates });
  const path = "/v1.44/containers/web/attach?stream=1&stdin=1&stdout=1";
  const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
  socket.write(`POST ${path} HTTP/1.1\r\nHost: d\r\n${upgrade}\r\nover TLS`);
  let received = "";
  for await (const chunk of socket) {
    received += String(chunk);
    if (received.endsWith("over TLS")) break;
  }
  assert.match(received, /^HTTP\/1\.1 101 UPGRADED/);
}

/** The stock client with the same certificates, where there is one. */
async function dockerOverTls(port: number, file: (name: string) => string): Promise<void> {
  const found = await run("docker", ["--version"]).catch(() => undefined);
  if (found === undefined) return;
  const tls = ["--tlsverify", "--tlscacert", file("ca.pem")];
  const identity = ["--tlscert", file("client.pem"), "--tlskey", file("client.key")];
  const host = ["-H", `tcp://127.0.0.1:${port}`];
  const { stdout } = await run("docker", [...host, ...tls, ...identity, "version"]);
  assert.match(stdout, /minimum version 1\.24/);
}

test("a socket that systemd passed is served, and a log that nobody reads is no reason to end", {
  timeout: 120_000,
}, async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args } = places("activation");
  await run("mkdir", ["-p", join(folder, "activation")]);
  await writeFile(join(folder, "activation", "daemon.json"), "{}");
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  // $$ is the pid that the daemon will have.
  const command = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"';
  const all = [command, process.execPath, entry, ...args, "-D", "-H", "fd://"];
  const child = spawn("sh", ["-c", ...all], { stdio: ["ignore", "ignore", "pipe", fd] });
  t.after(() => child.kill("SIGKILL"));
  listener.close();
  let log = "";
  for await (const chunk of child.stderr!) if (READY.test((log += String(chunk)))) break;
  for (let i = 0; i < 3; i++) {
    const answer = await fetch(`http://127.0.0.1:${port}/containers/nope/json`);
    assert.equal(answer.status, 404);
  }
});

test("TCP without TLS works, with a warning", async (t) => {
  if (!isRoot) return t.skip("needs root");
  const { args } = places("tcp");
  await run("mkdir", ["-p", join(folder, "tcp")]);
  await writeFile(join(folder, "tcp", "daemon.json"), "{}");
  const daemon = start(...args, "-H", "tcp://127.0.0.1:0");
  await daemon.seen(READY);
  assert.ok(portOf(daemon) > 0);
  assert.match(daemon.log(), /Binding to IP address without --tlsverify is insecure/);
  assert.match(daemon.log(), /API is accessible on http:\/\/127.0.0.1:\d+ without encryption/);
});

async function makeCertificates(certs: string): Promise<void> {
  await run("mkdir", ["-p", certs]);
  const openssl = (...args: string[]): Promise<unknown> => run("openssl", args, { cwd: certs });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  for (const ca of ["ca", "other-ca"]) {
    const files = ["-keyout", `${ca}.key`, "-out", `${ca}.pem`];
    await openssl("req", "-x509", ...key, ...files, "-subj", `/CN=${ca}`, "-days", "2");
  }
  await writeFile(join(certs, "server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  await writeFile(join(certs, "client.ext"), "extendedKeyUsage=clientAuth\n");
  const sign = async (name: string, ca: string, extensions: string): Promise<void> => {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`];
    await openssl("req", ...key, ...files, "-subj", `/CN=${name}`);
    const issuer = ["-CA", `${ca}.pem`, "-CAkey", `${ca}.key`, "-CAcreateserial", "-days", "2"];
    const result = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", extensions];
    await openssl("x509", "-req", ...issuer, ...result);
  };
  await sign("server", "ca", "server.ext");
  await sign("client", "ca", "client.ext");
  await sign("stranger", "other-ca", "client.ext");
}
