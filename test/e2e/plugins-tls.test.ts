// Who a client is reaches the plugins that authorize it: the name in its certificate, through a
// daemon that listens with TLS.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { PluginServer } from "../support/plugin-server.ts";
import { root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { type Result, run } from "./process.ts";

const ca = makeCertificate({ commonName: "ca", authority: true });
const server = makeCertificate({ commonName: "server", issuer: ca, addresses: ["127.0.0.1"] });
const clients = {
  alice: makeCertificate({ commonName: "alice", issuer: ca }),
  bob: makeCertificate({ commonName: "bob", issuer: ca }),
};

describe("the user of a request", { skip: whyNoDaemon() }, () => {
  let folder: string;
  let plugin: PluginServer;
  let daemon: TestDaemon;
  let port = "";

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-authz-tls-"));
    await writeFile(join(folder, "ca.pem"), ca.pem);
    await writeFile(join(folder, "server.pem"), server.pem);
    await writeFile(join(folder, "server-key.pem"), server.keyPem);
    for (const [name, one] of Object.entries(clients)) await writeClient(name, one);
    plugin = new PluginServer(join(folder, "sockets/seer.sock"), {
      "Plugin.Activate": () => ({ Implements: ["authz"] }),
      "AuthZPlugin.AuthZReq": ({ User }) =>
        User === "bob" ? { Allow: false, Msg: "bob may not" } : { Allow: true },
      "AuthZPlugin.AuthZRes": () => ({ Allow: true }),
    });
    await plugin.start();
    const tls = ["--tlsverify", "--tlscacert", join(folder, "ca.pem")];
    tls.push("--tlscert", join(folder, "server.pem"), "--tlskey", join(folder, "server-key.pem"));
    const plugins = ["--plugin-socket-dir", join(folder, "sockets")];
    plugins.push("--authorization-plugin", "seer");
    const args = ["-H", "tcp://127.0.0.1:0", ...tls, ...plugins];
    daemon = await startDaemon({ bare: true, args });
    port = await listening();
  });
  after(async () => {
    await daemon?.stop();
    await plugin?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** The port that the kernel chose, as the log tells it. */
  async function listening(): Promise<string> {
    for (const deadline = Date.now() + 60_000; ; await delay(50)) {
      const log = await daemon.log();
      const found = /API listen on 127\.0\.0\.1:(\d+)/.exec(log)?.[1];
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`It does not listen:\n${log}`);
    }
  }

  /** A folder as DOCKER_CERT_PATH wants it. */
  async function writeClient(name: string, { pem, keyPem }: Certificate): Promise<void> {
    const home = join(folder, name);
    await mkdir(home);
    await writeFile(join(home, "ca.pem"), ca.pem);
    await writeFile(join(home, "cert.pem"), pem);
    await writeFile(join(home, "key.pem"), keyPem);
  }
  const listVolumes = async (name: keyof typeof clients): Promise<Result> => {
    const env = {
      ...daemon.env,
      DOCKER_HOST: `tcp://127.0.0.1:${port}`,
      DOCKER_TLS_VERIFY: "1",
      DOCKER_CERT_PATH: join(folder, name),
      GANTRY_PLAIN: "1",
    };
    const inside = ["-t", String(daemon.namespacesPid), "-n", "--", join(root, "bin/gantry")];
    return await run("nsenter", [...inside, "volume", "ls", "-q"], { env });
  };

  test("is the common name of its certificate, which is shown, too", async () => {
    plugin.calls.length = 0;
    const { code, stderr } = await listVolumes("alice");
    assert.equal(code, 0, stderr);
    const shown = plugin.calls.filter(({ body }) => /volumes/.test(String(body["RequestUri"])));
    assert.deepEqual(
      shown.map(({ method, body }) => [method, body["User"], body["UserAuthNMethod"]]),
      [
        ["AuthZPlugin.AuthZReq", "alice", "TLS"],
        ["AuthZPlugin.AuthZRes", "alice", "TLS"],
      ],
    );
    const certificates = shown[0]?.body["RequestPeerCertificates"] as string[];
    assert.equal(Buffer.from(certificates[0]!, "base64").toString(), clients.alice.pem);
  });

  test("may be refused", async () => {
    const { code, stderr } = await listVolumes("bob");
    assert.notEqual(code, 0);
    assert.match(stderr, /authorization denied by plugin seer: bob may not/);
  });

  test("is nobody on the socket", async () => {
    plugin.calls.length = 0;
    await daemon.ok("volume", "ls", "-q");
    assert.ok(plugin.calls.length > 0);
    assert.ok(plugin.calls.every(({ body }) => body["User"] === undefined));
    assert.ok(plugin.calls.every(({ body }) => body["RequestPeerCertificates"] === undefined));
  });
});
