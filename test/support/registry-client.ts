// What tests of the way to registries share: a client with short options, one small manifest, and
// an address that only a proxy leads to.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { DistributionOptions, RegistryRule } from "../../src/distribution/contract.ts";
import { Registries } from "../../src/distribution/registries.ts";

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const RAW = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST });
export const DIGEST = `sha256:${createHash("sha256").update(RAW).digest("hex")}`;
/** An address that is nobody's: only the proxy of a test leads somewhere. */
export const REMOTE = "192.0.2.10";

export const noProxies = { httpProxy: "", httpsProxy: "", noProxy: "" };
export const registriesWith = (options: Partial<DistributionOptions> = {}): Registries =>
  new Registries({
    insecureRegistries: [],
    mirrors: [],
    maxConcurrentDownloads: 3,
    maxConcurrentUploads: 3,
    maxDownloadAttempts: 2,
    certificateFolders: [],
    userAgent: "test",
    proxies: noProxies,
    ...options,
  });
export const rule = (prefix: string, more: Partial<RegistryRule> = {}): RegistryRule => ({
  prefix,
  mirrors: [],
  insecure: false,
  blocked: false,
  ...more,
});
export const mirror = (url: string, more: Partial<RegistryRule["mirrors"][number]> = {}) => ({
  ...{ url, rewrite: [], insecure: false, namespace: false, digestsOnly: false },
  ...more,
});
export function giveManifest(response: ServerResponse, raw = RAW): void {
  response.writeHead(200, { "Content-Type": MANIFEST, "Docker-Content-Digest": DIGEST }).end(raw);
}
export const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => assert.fail("it did not fail"),
    (error: Error) => error.message,
  );
