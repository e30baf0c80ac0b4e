// The fake registry with two images, as a process of its own in the network namespace of a test's
// daemon. "plain/app:1" has two layers; "slow/app:1" has one, which stalls when it is first asked
// for. Says in JSON what it has; each line on standard input is answered with what was read.

import { createInterface } from "node:readline";
import { gzipSync } from "node:zlib";
import { publishImage, testLayer } from "../support/registry-images.ts";
import { digest, FakeRegistry } from "./registry.ts";

const stallAt = 100_000;
const registry = await FakeRegistry.listen();
const slow = publishImage(registry, "slow/app", "1", {
  layers: [testLayer(gzipSync, { bytes: 400_000 })],
});
const plain = publishImage(registry, "plain/app", "1", {
  layers: [testLayer(gzipSync, { bytes: 3_000 }), testLayer(gzipSync, { bytes: 2_000 })],
});
const stalling = digest(slow.layers[0]!.blob);
registry.faults.push({ match: new RegExp(`GET .*${stalling}`), stallAt });

const facts = (image: typeof slow) => ({
  id: image.id,
  manifest: image.manifest,
  layers: image.layers.map(({ blob }) => ({ digest: digest(blob), size: blob.length })),
});
const say = (what: unknown): unknown => process.stdout.write(`${JSON.stringify(what)}\n`);
say({ host: registry.host, stallAt, slow: facts(slow), plain: facts(plain) });
const lines = createInterface(process.stdin);
lines.on("line", () => say(registry.reads));
lines.once("close", () => process.exit(0));
