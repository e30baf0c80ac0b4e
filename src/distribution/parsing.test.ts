import assert from "node:assert/strict";
import { test } from "node:test";
import { readPlatform } from "../spec/index.ts";
import { parseChallenges } from "./challenge.ts";
import { chooseManifest, parseManifest } from "./manifest.ts";
import { OCI_INDEX } from "./media-types.ts";
import { platformRank } from "./platform.ts";
import { Registries } from "./registries.ts";

const host = { os: "linux", architecture: "amd64" };

test("challenges are read whether quoted or not, one or several in a header", () => {
  const header =
    'Bearer realm="https://a/t?x=1,2",service=s,scope="r:a/b:pull,push", Basic realm="b"';
  assert.deepEqual(parseChallenges(header), [
    {
      scheme: "bearer",
      parameters: { realm: "https://a/t?x=1,2", service: "s", scope: "r:a/b:pull,push" },
    },
    { scheme: "basic", parameters: { realm: "b" } },
  ]);
  assert.deepEqual(parseChallenges('=="'), []);
});

test("the best platform of an index is taken, as containerd orders them", () => {
  const entry = (platform: object, n: number): object => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: `sha256:${String(n).repeat(64)}`,
    size: 1,
    platform,
  });
  const index = parseManifest(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          entry({ os: "unknown", architecture: "unknown" }, 1),
          entry({ os: "linux", architecture: "386" }, 2),
          entry({ os: "linux", architecture: "amd64" }, 3),
          entry({ os: "linux", architecture: "arm", variant: "v6" }, 4),
          entry({ os: "linux", architecture: "arm", variant: "v7" }, 5),
        ],
      }),
    ),
    OCI_INDEX,
  );
  assert(index.kind === "index");
  const chosen = (text: string): string | undefined =>
    chooseManifest(index, readPlatform(text, host))?.digest[7];
  assert.equal(chosen("linux/amd64"), "3");
  assert.equal(chosen("x86_64"), "3");
  assert.equal(chosen("linux/386"), "2");
  assert.equal(chosen("linux/arm64"), "5");
  assert.equal(chosen("linux/arm/v6"), "4");
  assert.equal(chosen("linux/s390x"), undefined);
  assert.equal(
    platformRank({ os: "linux", architecture: "amd64", variant: "v3" }, host),
    undefined,
  );
  assert.throws(() => readPlatform("linux/../x/y", host), { kind: "invalid" });
});

test("loopback and declared registries are insecure, others are not", () => {
  const registries = new Registries({
    insecureRegistries: ["10.1.0.0/16", "reg.example:5000"],
    mirrors: [],
    maxConcurrentDownloads: 3,
    maxConcurrentUploads: 5,
    maxDownloadAttempts: 5,
    certificateFolders: [],
    userAgent: "test",
  });
  for (const yes of [
    "127.0.0.1:5000",
    "localhost:5000",
    "[::1]:5000",
    "10.1.2.3",
    "reg.example:5000",
  ]) {
    assert.ok(registries.isInsecure(yes), yes);
  }
  for (const no of ["10.2.0.1:5000", "reg.example:5001", "docker.io", "127.example"]) {
    assert.ok(!registries.isInsecure(no), no);
  }
});
