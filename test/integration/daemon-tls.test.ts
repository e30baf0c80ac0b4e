// TLS of the daemon: who gets in with --tls, with --tlsverify and without either; certificates that
// are missing, of another authority or expired; and the stock client by its environment.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Certificate, makeCertificate } from "../support/certificates.ts";

const run = promisify(execFile);
const entry = fileURLToPath(new URL("../fakes/daemon.ts", import.meta.url));
const limits = { skip: process.getuid?.() === 0 ? false : "needs root", timeout: 120_000 };
const DAY_MS = 86_400_000;
const HEARD_DEADLINE_MS = 60_000;
const ca = makeCertificate({ commonName: "ca", authority: true });
const otherCa = makeCertificate({ commonName: "other-ca", authority: true });
const server = makeCertificate({ commonName: "server", issuer: ca, addresses: ["127.0.0.1"] });
const clients = {
  good: makeCertificate({ commonName: "alice", issuer: ca }),
  stranger: makeCertificate({ commonName: "mallory", issuer: otherCa }),
  expired: makeCertificate({
    commonName: "late",
    issuer: ca,
    notBefore: new Date(Date.now() - 9 * DAY_MS),
    notAfter: new Date(Date.now() - DAY_MS),
  }),
};
type Client = keyof typeof clients;
let folder = "";
const running: ChildProcess[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-tls-"));
  const files: [name: string, content: string][] = [
    ["ca.pem", ca.pem],
    ["server.pem", server.pem],
    ["server-key.pem", server.keyPem],
    ["bad.pem", "no certificate"],
    ["daemon.json", "{}"],
  ];
  for (const [name, content] of files) await writeFile(join(folder, name), content);
  for (const [name, one] of Object.entries(clients)) await writeClient(name, one);
});
after(() => rm(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
});

/** A folder as DOCKER_CERT_PATH wants it. */
async function writeClient(name: string, { pem, keyPem }: Certificate): Promise<void> {
  const home = join(folder, name);
  await mkdir(home);
  await writeFile(join(home, "ca.pem"), ca.pem);
  await writeFile(join(home, "cert.pem"), pem);
  await writeFile(join(home, "key.pem"), keyPem);
}

const file = (name: string): string => join(folder, name);
const identity = () => ["--tlscert", file("server.pem"), "--tlskey", file("server-key.pem")];
let starts = 0;

interface Outcome {
  port: number;
  log: string;
  code: number | null;
  /** Resolves when the log matches; rejects with the log when it does not in a minute. */
  heard(wanted: RegExp): Promise<void>;
}
/** Resolves when the daemon serves, or has ended. */
async function start(...flags: string[]): Promise<Outcome> {
  const own = join(folder, `daemon-${starts++}`);
  const args = ["--data-root", join(own, "data"), "--exec-root", join(own, "run")];
  args.push("--pidfile", join(own, "pid"), "--config-file", file("daemon.json"));
  const host = ["-H", "tcp://127.0.0.1:0", "-H", `unix://${join(own, "api.sock")}`];
  const env = { ...process.env, HOME: folder };
  const child = spawn(process.execPath, [entry, ...args, ...host, ...flags], { env });
  running.push(child);
  return await new Promise((resolve, reject) => {
    let log = "";
    const late = (): void => reject(new Error(`The daemon does not start:\n${log}`));
    const limit = setTimeout(late, HEARD_DEADLINE_MS);
    const waiting: (() => void)[] = [];
    const heard = (wanted: RegExp): Promise<void> =>
      new Promise((done, fail) => {
        const late = (): void => fail(new Error(`${wanted} was not heard:\n${log}`));
        const limit = setTimeout(late, HEARD_DEADLINE_MS);
        const check = (): void => {
          if (!wanted.test(log)) return;
          clearTimeout(limit);
          done();
        };
        waiting.push(check);
        check();
      });
    const hear = (chunk: Buffer): void => {
      log += chunk.toString();
      for (const check of waiting) check();
      if (!log.includes("completed initialization")) return;
      clearTimeout(limit);
      const port = Number(/API listen on 127\.0\.0\.1:(\d+)/.exec(log)?.[1]);
      resolve({ port, log, code: null, heard });
    };
    child.stderr.on("data", hear);
    child.stdout.on("data", hear);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(limit);
      resolve({ port: 0, log, code, heard });
    });
  });
}

/** What a ping over TLS comes to. */
function ping(port: number, client?: Client, trusted = ca): Promise<string> {
  const own = client && { cert: clients[client].pem, key: clients[client].keyPem };
  const where = { host: "127.0.0.1", port, path: "/_ping", agent: false as const };
  return new Promise((resolve) => {
    const outgoing = tlsRequest({ ...where, ca: trusted.pem, ...own }, async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      resolve(body);
    });
    outgoing.on("error", (error) => resolve(`refused: ${error.message}`));
    outgoing.end();
  });
}

test("with --tlsverify only clients of the authority get in", limits, async () => {
  const daemon = await start("--tlsverify", "--tlscacert", file("ca.pem"), ...identity());
  const { port, log } = daemon;
  assert.equal(await ping(port, "good"), "OK");
  assert.match(await ping(port), /^refused/);
  assert.match(await ping(port, "stranger"), /^refused/);
  assert.match(await ping(port, "expired"), /^refused/);
  assert.match(await ping(port, "good", otherCa), /^refused/);
  assert.doesNotMatch(log, /insecure|DEPRECATION/);
  await daemon.heard(/TLS handshake error/);
});

test("--tls and --tlsverify=false encrypt for everybody, with a warning", limits, async () => {
  for (const flag of ["--tls", "--tlsverify=false"]) {
    const { port, log } = await start(flag, ...identity());
    assert.equal(await ping(port), "OK", flag);
    assert.equal(await ping(port, "stranger"), "OK", flag);
    assert.match(await ping(port, undefined, otherCa), /^refused/);
    assert.match(log, /accessible on https:\/\/127\.0\.0\.1:\d+ without TLS client verification/);
  }
});

test("what speaks plain HTTP to TLS gets no answer", limits, async () => {
  const { port } = await start("--tls", ...identity());
  const answer = await new Promise<string>((resolve) => {
    const outgoing = plainRequest({ host: "127.0.0.1", port, path: "/_ping" }, () =>
      resolve("answered"),
    );
    outgoing.on("error", () => resolve("refused"));
    outgoing.end();
  });
  assert.equal(answer, "refused");
});

test("files that are missing or no certificates are told in dockerd's words", limits, async () => {
  const pair = `X509 key pair (cert: "${file("nope.pem")}", key: "${file("server-key.pem")}")`;
  const cases: [flags: string[], said: string][] = [
    [
      ["--tls", "--tlscert", file("nope.pem"), "--tlskey", file("server-key.pem")],
      `invalid TLS configuration: Could not load ${pair}: open ${file("nope.pem")}: ` +
        "no such file or directory",
    ],
    [
      ["--tls", "--tlscert", file("bad.pem"), "--tlskey", file("bad.pem")],
      "invalid TLS configuration: Error reading X509 key pair",
    ],
    [
      ["--tlsverify", "--tlscacert", file("nope.pem"), ...identity()],
      `invalid TLS configuration: could not read CA certificate "${file("nope.pem")}"`,
    ],
    [
      ["--tlsverify", "--tlscacert", file("bad.pem"), ...identity()],
      "invalid TLS configuration: failed to append certificates from PEM file",
    ],
    [["--tlsverify", "--tls=false"], "--tls=false and --tlsverify contradict each other"],
  ];
  for (const [flags, said] of cases) {
    const { code, log } = await start(...flags, "--validate");
    assert.equal(code, 1);
    assert.ok(log.includes(said), log);
  }
});

test("the stock client finds its certificates by its environment", limits, async (t) => {
  if (!(await run("docker", ["--version"]).catch(() => undefined))) {
    return t.skip("the docker client is not installed");
  }
  const { port } = await start("--tlsverify", "--tlscacert", file("ca.pem"), ...identity());
  const docker = async (client: Client, verify: string): Promise<string> => {
    const env = {
      ...process.env,
      HOME: folder,
      DOCKER_HOST: `tcp://127.0.0.1:${port}`,
      DOCKER_TLS_VERIFY: verify,
      DOCKER_CERT_PATH: file(client),
    };
    const args = ["info", "-f", "{{.ServerVersion}}{{.ServerErrors}}"];
    return await run("docker", args, { env }).then(
      ({ stdout }) => stdout,
      (error: { stderr?: string; stdout?: string }) => `${error.stdout}${error.stderr}`,
    );
  };
  assert.doesNotMatch(await docker("good", "1"), /tls|certificate|refused|error/i);
  assert.match(await docker("stranger", "1"), /error during connect/i);
  assert.match(await docker("expired", "1"), /error during connect/i);
});
