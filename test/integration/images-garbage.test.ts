// Collection: nothing that is in use or in flight is ever deleted, and nothing unused is kept, in
// whatever order things happen, and wherever a process is killed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { digestOf } from "../../src/spec/index.ts";
import { type Lease, loadArchive, verifyStore } from "../../src/storage/index.ts";
import {
  commitNumbered,
  numberedImage,
  numberedLayer,
  streamed,
} from "../support/storage-churn.ts";
import { type StorageFixture, storageFixture } from "../support/storage-fixture.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const CHURN = fileURLToPath(new URL("../support/storage-churn.ts", import.meta.url));

/** What is stored is whole, is what images and snapshots need, and nothing more. */
async function assertTight(fixture: StorageFixture, heldLayers: readonly string[] = []) {
  const { storage } = fixture;
  const images = storage.images.list();
  for await (const item of verifyStore(storage, images)) {
    assert.equal(item.state, "ok", JSON.stringify(item));
  }
  const needed = new Set([
    ...images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)),
    ...storage.snapshots.list().flatMap((id) => storage.snapshots.diffIds(id)),
    ...heldLayers,
  ]);
  const layers = storage.layers.list();
  assert.deepEqual(layers.map(({ diffId }) => diffId).sort(), [...needed].sort());
  assert.deepEqual((await fixture.names("layers")).sort(), layers.map((l) => l.shortId).sort());
  const blobs = new Set([
    ...images.flatMap(({ id, documents }) => [id, ...documents.map(({ digest }) => digest)]),
    ...layers.flatMap(({ diffId }) => storage.layers.keptBlobs(diffId)).map((one) => one.digest),
  ]);
  const names = (await fixture.names("blobs/sha256")).map((name) => `sha256:${name}`);
  assert.deepEqual(names.sort(), [...blobs].sort());
  assert.deepEqual(await fixture.names("trash"), []);
  assert.deepEqual(await fixture.names("ingest"), []);
}

type Step =
  | { do: "load" | "commit" | "remove" | "lease" | "snapshot"; number: number }
  | { do: "release" | "drop"; number: number };

const steps: fc.Arbitrary<Step[][]> = fc.array(
  fc.array(
    fc.record({
      do: fc.constantFrom(
        "load",
        "load",
        "commit",
        "remove",
        "lease",
        "snapshot",
        "release",
        "drop",
      ),
      number: fc.nat({ max: 3 }),
    }) as fc.Arbitrary<Step>,
    { minLength: 1, maxLength: 4 },
  ),
  { minLength: 3, maxLength: 6 },
);

test("whatever happens side by side, all that is needed stays and all else goes", {
  skip,
}, async () => {
  const fixture = await storageFixture();
  try {
    await fc.assert(
      fc.asyncProperty(steps, (groups) => playAll(fixture, groups)),
      { numRuns: 12 },
    );
  } finally {
    await fixture.close();
  }
});

/** The steps of a group run at once; when all have ended the store is tight. */
async function playAll(fixture: StorageFixture, groups: readonly Step[][]): Promise<void> {
  const { storage } = fixture;
  const leases = new Map<string, Lease>();
  const tolerant = (work: Promise<unknown>) =>
    work.catch((error: { kind?: string }) => {
      if (!["not-found", "conflict"].includes(error.kind ?? "")) throw error;
    });
  const play = async (step: Step): Promise<unknown> => {
    const { number } = step;
    const { id, archive } = numberedImage(number);
    const diffId = digestOf(numberedLayer(100 + number));
    switch (step.do) {
      case "load":
        return loadArchive(storage, streamed(archive));
      case "commit":
        return commitNumbered(storage, number);
      case "remove":
        return storage.images.remove(id);
      case "lease":
        if (leases.has(diffId) || storage.layers.get(diffId) === undefined) return;
        leases.set(diffId, storage.lease([diffId]));
        return;
      case "release": {
        const lease = leases.get(diffId);
        leases.delete(diffId);
        return lease?.release();
      }
      case "snapshot": {
        const image = storage.images.get(id);
        return image && storage.snapshots.prepare(`c${number}`, image.config.rootfs.diff_ids);
      }
      case "drop":
        return storage.snapshots.remove(`c${number}`);
    }
  };
  for (const group of groups) {
    await Promise.all(group.map((step) => tolerant(play(step))));
    await assertTight(fixture, [...leases.keys()]);
  }
  for (const lease of leases.values()) await lease.release();
  for (const id of storage.snapshots.list()) await storage.snapshots.remove(id);
  for (const { id } of storage.images.list()) await storage.images.remove(id);
  await assertTight(fixture);
  assert.deepEqual(storage.layers.list(), []);
}

test("of several that make the snapshot of one id one gets it, and it can be made again", {
  skip,
}, async () => {
  const fixture = await storageFixture();
  const { snapshots } = fixture.storage;
  try {
    for (let round = 0; round < 5; round++) {
      const made = await Promise.allSettled([1, 2, 3].map(() => snapshots.prepare("c", [])));
      assert.deepEqual(
        made.flatMap((one) => (one.status === "rejected" ? [one.reason.kind] : [])),
        ["conflict", "conflict"],
      );
      await Promise.all([1, 2, 3].map(() => snapshots.remove("c")));
      assert.deepEqual(await fixture.names("containers"), []);
    }
  } finally {
    await fixture.close();
  }
});

test("a process killed at any moment leaves whole images and nothing else", { skip }, async () => {
  const fixture = await storageFixture();
  try {
    let survived = 0;
    for (let round = 0; round < 6; round++) {
      await fixture.storage.close();
      const execRoot = join(fixture.root, "..", `exec-${round}`);
      const child = spawn(process.execPath, [CHURN, fixture.root, execRoot, String(round)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = once(child, "close");
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      // Every other process is killed some time after it has made an image, the others before.
      for (const wanted of round % 2 === 0 ? ["ready"] : ["ready", "made"]) {
        assert.equal((await lines.next()).value, wanted, "the process ends by itself");
      }
      await delay(40 + ((round * 97) % 300));
      child.kill("SIGKILL");
      await ended;
      await fixture.reopen({ closed: true });
      await fixture.storage.reconcile({ snapshotIds: new Set() });
      await assertTight(fixture);
      survived += fixture.storage.images.list().length;
    }
    assert.ok(survived > 0, "no round got as far as an image");
  } finally {
    await fixture.close();
  }
});
