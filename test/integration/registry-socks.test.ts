// Registries behind a SOCKS5 proxy, as Go's clients reach them: names are the proxy's to look up,
// https is still verified against the registry's own name.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { describe, test } from "node:test";
import { Registries } from "../../src/distribution/index.ts";
import { makeCertificate } from "../support/certificates.ts";
import { serve } from "../support/http-servers.ts";
import { serveSocks } from "../support/socks-server.ts";

const NAME = "registry.invalid";
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: `sha256:${"a".repeat(64)}`,
    size: 2,
  },
  layers: [],
});
const DIGEST = `sha256:${createHash("sha256").update(MANIFEST).digest("hex")}`;

function giveManifest(_: unknown, response: ServerResponse): void {
  response.setHeader("Content-Type", "application/vnd.oci.image.manifest.v1+json");
  response.setHeader("Docker-Content-Digest", DIGEST);
  response.end(MANIFEST);
}

function registries(proxy: string): Registries {
  return new Registries({
    insecureRegistries: [NAME],
    mirrors: [],
    ...{ maxConcurrentDownloads: 3, maxConcurrentUploads: 5, maxDownloadAttempts: 1 },
    certificateFolders: [],
    userAgent: "test",
    proxies: { httpProxy: proxy, httpsProxy: proxy, noProxy: "" },
  });
}

async function fetched(proxy: string, host: string): Promise<string> {
  const registry = await registries(proxy).open(host);
  return (await registry.manifest("a/b", "1")).digest;
}

describe("registries behind a SOCKS5 proxy", () => {
  test("https goes through it by name, with its login", async () => {
    const { pem, keyPem } = makeCertificate({ commonName: NAME });
    await using registry = await serve(giveManifest, { cert: pem, key: keyPem });
    const leads = new Map([[`${NAME}:443`, registry.port]]);
    await using proxy = await serveSocks(leads, { login: "me:p@ss" });
    assert.equal(await fetched(`socks5://me:p%40ss@${proxy.host}`, NAME), DIGEST);
    assert.deepEqual(proxy.asked.slice(0, 2), ["me:p@ss", `${NAME}:443`]);
    await assert.rejects(
      fetched(`socks5://me:wrong@${proxy.host}`, NAME),
      /socks connect tcp 127\.0\.0\.1:\d+->registry\.invalid:\d+: .*[Aa]uthentication failed/,
    );
  });

  test("plain requests, too; connections are kept, and a refusal is told", async () => {
    await using registry = await serve(giveManifest);
    const leads = new Map([[`${NAME}:5000`, registry.port]]);
    await using proxy = await serveSocks(leads);
    const one = await registries(`socks5h://${proxy.host}`).open(`${NAME}:5000`);
    for (let count = 0; count < 3; count++) {
      assert.equal((await one.manifest("a/b", "1")).digest, DIGEST);
    }
    assert.ok(registry.requests.includes("GET /v2/a/b/manifests/1"), "no order to a proxy");
    const asked = proxy.asked.filter((target) => target === `${NAME}:5000`).length;
    assert.ok(asked < registry.requests.length, `${asked} connections`);
    await assert.rejects(
      fetched(`socks5://${proxy.host}`, `${NAME}:5001`),
      /socks connect tcp .*->registry\.invalid:5001: .*NotAllowed/,
    );
    await assert.rejects(
      fetched("socks5://127.0.0.1:1", `${NAME}:5000`),
      /socks connect tcp 127\.0\.0\.1:1->registry\.invalid:5000: .*ECONNREFUSED/,
    );
  });
});
