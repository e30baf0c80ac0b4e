import assert from "node:assert/strict";
import { test } from "node:test";
import { OCI_INDEX, OCI_MANIFEST, parseManifest } from "./manifest-document.ts";

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;

test("an index of a build cache lists blobs beside manifests", () => {
  const entry = (mediaType: string, digit: string) => ({
    ...{ mediaType, digest: digest(digit), size: 1 },
  });
  const raw = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [
        entry(OCI_MANIFEST, "a"),
        entry("application/vnd.oci.image.layer.v1.tar+zstd", "b"),
        entry("application/vnd.docker.image.rootfs.diff.tar.gzip", "c"),
        entry("application/vnd.buildkit.cacheconfig.v0", "d"),
      ],
    }),
  );
  const { manifests, blobs } = parseManifest(raw, OCI_INDEX);
  assert.deepEqual(
    manifests.map((one) => one.digest),
    [digest("a")],
  );
  assert.deepEqual(
    blobs.map((one) => one.digest),
    [digest("b"), digest("c"), digest("d")],
  );
});
