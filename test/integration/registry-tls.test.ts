// TLS of a registry: renewed certificates, the least version, and users by their certificates.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import {
  certificateSubject,
  createAccess,
  createRegistry,
  createTls,
  openFileStore,
  RateLimits,
  type TlsOptions,
} from "../../src/registry/index.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";

let folder: string;
let root: Certificate;
let options: TlsOptions;
const server = (commonName: string) =>
  makeCertificate({ commonName, issuer: root, addresses: ["127.0.0.1"] });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-tls-"));
  root = makeCertificate({ commonName: "root", authority: true });
  await writeFile(join(folder, "ca.pem"), root.pem);
  options = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  await install(server("first"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function install(certificate: Certificate): Promise<void> {
  await writeFile(options.certificate, certificate.pem);
  await writeFile(options.key, certificate.keyPem);
}

async function start(more: Partial<TlsOptions> = {}, bytesPerSecond?: number) {
  const tls = await createTls({ ...options, ...more });
  const access = await createAccess({ authentication: { type: "certificate" } });
  const limits = new RateLimits(bytesPerSecond === undefined ? {} : { bytesPerSecond });
  const registry = createRegistry({
    ...{ store: await openFileStore(join(folder, "store")), gatekeeper: access.gatekeeper },
    ...{ tls, certificateSubject, onConnection: (socket) => limits.pace(socket) },
  });
  const { port } = (await registry.listen({ host: "127.0.0.1", port: 0 })) as AddressInfo;
  const close = async () => {
    await registry.close({ deadlineMs: 0 });
    tls.close();
  };
  return { tls, port, close };
}

async function nameOf(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", ca: root.pem });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

function ask(port: number, client?: Certificate): Promise<{ status: number; text: string }> {
  const identity = client ? { cert: client.pem, key: client.keyPem } : {};
  return new Promise((resolve, reject) => {
    const path = "/v2/_catalog";
    const host = "127.0.0.1";
    const request = get({ host, port, path, ca: root.pem, agent: false, ...identity });
    request.on("error", reject);
    request.on("response", async (response) => {
      let text = "";
      for await (const chunk of response) text += String(chunk);
      resolve({ status: response.statusCode!, text });
    });
  });
}

async function handshake(port: number, more: ConnectionOptions): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", ca: root.pem, ...more });
  await once(socket, "secureConnect");
  const protocol = String(socket.getProtocol());
  socket.destroy();
  return protocol;
}

test("a renewed certificate is served without a restart, a broken one never", async () => {
  const registry = await start();
  try {
    assert.equal(await nameOf(registry.port), "first");
    await install(server("second"));
    for (let attempt = 0; (await nameOf(registry.port)) !== "second"; attempt++) {
      assert.ok(attempt < 600, "the new certificate is not served");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await writeFile(options.key, root.keyPem);
    await assert.rejects(registry.tls.reload(), /Load TLS certificate ".*": .*/);
    assert.equal(await nameOf(registry.port), "second");
  } finally {
    await registry.close();
    await install(server("first"));
  }
});

test("older versions than the least are refused", async () => {
  const registry = await start({ minimumVersion: "TLSv1.3" });
  try {
    assert.equal(await handshake(registry.port, {}), "TLSv1.3");
    await assert.rejects(handshake(registry.port, { maxVersion: "TLSv1.2" }), /protocol version/);
  } finally {
    await registry.close();
  }
});

test("a certificate that our authority issued is a user, any other none", async () => {
  const clientCertificateAuthorities = join(folder, "ca.pem");
  const ann = makeCertificate({ commonName: "ann", issuer: root });
  const stranger = makeCertificate({ commonName: "ann" });
  const odd = makeCertificate({ commonName: "ann\nroot", issuer: root });
  const strict = await start({ clientCertificateAuthorities });
  const open = await start({ clientCertificateAuthorities, clientCertificates: "optional" });
  try {
    assert.equal((await ask(strict.port, ann)).status, 200);
    await assert.rejects(ask(strict.port));
    await assert.rejects(ask(strict.port, stranger));
    assert.equal((await ask(open.port, ann)).status, 200);
    for (const client of [undefined, stranger, odd]) {
      const { status, text } = await ask(open.port, client);
      assert.equal(status, 401);
      assert.match(text, /a client certificate is required/);
    }
  } finally {
    await strict.close();
    await open.close();
  }
});

test("a paced connection may be encrypted", async () => {
  const paced = await start({}, 1_000_000);
  try {
    assert.equal((await ask(paced.port)).status, 401);
  } finally {
    await paced.close();
  }
});

test("files that make no server are refused at the start", async () => {
  const missing = join(folder, "none.pem");
  await assert.rejects(createTls({ ...options, certificate: missing }), /ENOENT/);
  await writeFile(join(folder, "bad.pem"), "no certificate");
  await assert.rejects(createTls({ ...options, certificate: join(folder, "bad.pem") }));
  const clientCertificateAuthorities = join(folder, "bad.pem");
  await assert.rejects(createTls({ ...options, clientCertificateAuthorities }));
});
