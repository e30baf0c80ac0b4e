// Plugins that are described by a .json file, with TLS: who proves what to whom.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createLogger } from "../../src/base/index.ts";
import { Plugins } from "../../src/engine/plugins/plugins.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";

const LIMITS = { answerMs: 60_000, connectMs: 0 };
const ca = makeCertificate({ commonName: "ca", authority: true });
const other = makeCertificate({ commonName: "other", authority: true });
const identity = makeCertificate({ commonName: "plugin", issuer: ca, addresses: ["127.0.0.1"] });
const daemon = makeCertificate({ commonName: "daemon", issuer: ca });
const stranger = makeCertificate({ commonName: "stranger", issuer: other });
/** Common names of those who got in. */
const seen: string[] = [];
const server = createServer(
  {
    cert: identity.pem,
    key: identity.keyPem,
    ca: ca.pem,
    requestCert: true,
    rejectUnauthorized: true,
  },
  (request, response) => {
    const { subject } = (request.socket as import("node:tls").TLSSocket).getPeerCertificate();
    seen.push(String(subject.CN));
    request.resume();
    response.end(JSON.stringify({ Implements: ["VolumeDriver"] }));
  },
);
let folder = "";
let plugins: Plugins;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-plugins-tls-"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  plugins = new Plugins(
    { sockets: join(folder, "none"), specs: [folder] },
    createLogger({ level: "fatal" }),
  );
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

/** Describes the plugin under a name of its own; what asking it comes to. */
async function ask(
  name: string,
  o: { trusted?: Certificate; own?: Certificate; insecure?: boolean },
): Promise<string> {
  const file = async (suffix: string, text: string | undefined): Promise<string> => {
    if (text === undefined) return "";
    await writeFile(join(folder, `${name}-${suffix}`), text);
    return join(folder, `${name}-${suffix}`);
  };
  const description = {
    Name: name,
    Addr: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    TLSConfig: {
      InsecureSkipVerify: o.insecure === true,
      CAFile: await file("ca.pem", o.trusted?.pem),
      CertFile: await file("cert.pem", o.own?.pem),
      KeyFile: await file("key.pem", o.own?.keyPem),
    },
  };
  await writeFile(join(folder, `${name}.json`), JSON.stringify(description));
  return await plugins.require(name, "VolumeDriver", LIMITS).then(
    () => "ok",
    (error: Error) => error.message,
  );
}

test("a plugin of the authority lets a daemon with a certificate in", async () => {
  seen.length = 0;
  assert.equal(await ask("good", { trusted: ca, own: daemon }), "ok");
  assert.deepEqual(seen, ["daemon"]);
});

test("a plugin of another authority is not believed, unless nobody asks for that", async () => {
  seen.length = 0;
  assert.match(await ask("wrong", { trusted: other, own: daemon }), /does not answer: .*certif/);
  assert.deepEqual(seen, []);
  assert.equal(await ask("skipped", { trusted: other, own: daemon, insecure: true }), "ok");
  assert.deepEqual(seen, ["daemon"]);
});

test("a daemon without a certificate of the plugin's authority is not let in", async () => {
  seen.length = 0;
  assert.match(await ask("nobody", { trusted: ca }), /does not answer/);
  assert.match(await ask("stranger", { trusted: ca, own: stranger }), /does not answer/);
  assert.deepEqual(seen, []);
});

test("a file that the description names and that is not there is told", async () => {
  const Addr = "tcp://127.0.0.1:1";
  const TLSConfig = { CAFile: join(folder, "none.pem") };
  await writeFile(join(folder, "broken.json"), JSON.stringify({ Addr, TLSConfig }));
  await assert.rejects(plugins.require("broken", "VolumeDriver", LIMITS), {
    message: `${join(folder, "broken.json")}: CAFile ${TLSConfig.CAFile}: ENOENT`,
  });
});
