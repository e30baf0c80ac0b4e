// Caches of strangers: what a manifest or an image's config may say, and what is not believed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../../../spec/index.ts";
import { INLINE_FIELD } from "./cache-config.ts";
import { readCache } from "./cache-reader.ts";

/** Reads an image with a cache in its config out of a client's folder. */
async function readInline(diffIds: unknown, layers: readonly object[]) {
  const blobs = new Map<string, Buffer>();
  const put = (mediaType: string, value: object) => {
    const raw = Buffer.from(JSON.stringify(value));
    blobs.set(digestOf(raw), raw);
    return { mediaType, digest: digestOf(raw), size: raw.length };
  };
  const record = { digest: digestOf("step"), layers: [{ layer: 0, createdAt: "2020-01-01" }] };
  const cache = Buffer.from(JSON.stringify([record])).toString("base64");
  const config = put("application/vnd.oci.image.config.v1+json", {
    ...{ [INLINE_FIELD]: cache, rootfs: { type: "layers", diff_ids: diffIds } },
  });
  const { digest } = put("application/vnd.oci.image.manifest.v1+json", { config, layers });
  const read = async function* (wanted: string) {
    yield blobs.get(wanted)!;
  };
  const session = { contentStore: () => ({ read }) };
  const job = { session, credentials: async () => undefined };
  const source = { kind: "local", store: "x", digest, name: "x" };
  const { signal } = new AbortController();
  return await readCache({} as never, job as never, source as never, { signal });
}

const DIFF_ID = digestOf("layer");
const BLOB = { mediaType: "x", digest: digestOf("blob"), size: 4 };

test("layers whose diff ids are no digests are not offered", async () => {
  const sound = await readInline([DIFF_ID], [BLOB]);
  assert.deepEqual(sound.layers, [{ blob: BLOB, diffId: DIFF_ID }]);
  assert.equal(sound.steps[0]?.layer, DIFF_ID);
  for (const odd of [["../../etc"], [{ a: 1 }], "sha256:", { length: 1 }, [`${DIFF_ID}/x`]]) {
    const { layers, steps } = await readInline(odd, [BLOB]);
    assert.deepEqual([layers, steps], [[], []], JSON.stringify(odd));
  }
});

test("a blob of a size that cannot be makes the cache damaged", async () => {
  await assert.rejects(readInline([DIFF_ID], [{ ...BLOB, size: -1 }]), /bad descriptor/);
  await assert.rejects(readInline([DIFF_ID], [{ ...BLOB, digest: "sha256:0" }]), /bad descriptor/);
});
