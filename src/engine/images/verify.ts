// Verify: compares what is stored, or what a registry holds, with its digests. With `repair`, what
// is damaged is fetched again from where it is known to be: the database (configs), a kept blob,
// a registry.

import type { Readable } from "node:stream";
import { GantryError, messageOf } from "../../base/index.ts";
import {
  type BlobPlace,
  fetchBlob,
  fetchDocument,
  verifyRemote,
} from "../../distribution/index.ts";
import { digestOf, parseReference } from "../../spec/index.ts";
import {
  type Descriptor,
  decompress,
  type StoredImage,
  type VerifiedItem,
  verifyItem,
  verifyStore,
} from "../../storage/index.ts";
import { isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Credentials, Signal, VerifyMessage, VerifyRequest } from "../contract.ts";
import { findImage } from "./find.ts";
import { familiar } from "./render.ts";

/** Yields an item for each thing that was read, then the sums. Changes nothing without `repair`. */
export async function* verifyImages(
  engine: EngineContext,
  o: Signal & VerifyRequest,
): AsyncGenerator<VerifyMessage> {
  const sums = { checked: 0, bytes: 0, damaged: 0, repaired: 0 };
  const items = o.remote ? remoteItems(engine, o) : storedItems(engine, o);
  for await (const item of items) {
    sums.checked++;
    sums.bytes += item.bytes;
    if (item.state === "repaired") sums.repaired++;
    else if (item.state !== "ok") sums.damaged++;
    yield { item };
  }
  yield { sums };
}

type Item = NonNullable<VerifyMessage["item"]>;

async function* remoteItems(
  engine: EngineContext,
  { refs, signal, credentials, repair }: Signal & VerifyRequest,
): AsyncGenerator<Item> {
  if (repair) {
    throw new GantryError("invalid", "an image in a registry cannot be repaired: push it again");
  }
  const options = { ...(signal && { signal }), ...(credentials && { credentials }) };
  for (const ref of refs) {
    const items = verifyRemote(engine.registries, parseReference(ref), options);
    for await (const item of items) yield { ...item, usedBy: [ref] };
  }
}

async function* storedItems(
  engine: EngineContext,
  { refs, all = false, repair = false, signal, credentials }: Signal & VerifyRequest,
): AsyncGenerator<Item> {
  const { storage } = engine;
  const images = all ? storage.images.list() : refs.map((ref) => findImage(engine, ref));
  const digests = images.flatMap((image) => image.layers.map(({ diffId }) => diffId));
  const lease = storage.lease(digests);
  const how = { ...(signal && { signal }), ...(credentials && { credentials }) };
  try {
    const checks = verifyStore(storage, images, { loose: all, ...(signal && { signal }) });
    for await (const item of checks) {
      const named = { ...item, usedBy: item.usedBy.map(shown) };
      if (item.state === "ok" || !repair) yield named;
      else yield await repaired(engine, named, images, how);
    }
  } finally {
    await lease.release();
  }
}

const shown = (name: string): string => (name.startsWith("sha256:") ? name : familiar(name));

type How = Signal & { credentials?: Credentials };

/** The item after the attempt: repaired and read once more, or damaged and why it stays so. */
async function repaired(
  engine: EngineContext,
  item: Item & VerifiedItem,
  images: readonly StoredImage[],
  how: How,
): Promise<Item> {
  const { storage } = engine;
  try {
    if (item.kind === "layer") await repairLayer(engine, item.digest, how);
    else if (item.kind === "config") await repairConfig(engine, item.digest);
    else if (item.kind === "manifest") await repairDocument(engine, item.digest, images, how);
    else await repairBlob(engine, item, how);
    const again = await verifyItem(storage, item, how.signal);
    return again.state === "ok"
      ? { ...item, state: "repaired", bytes: item.bytes + again.bytes }
      : { ...item, problem: again.problem ?? "it is damaged again" };
  } catch (error) {
    how.signal?.throwIfAborted();
    const problem = `${item.problem ?? item.state}; not repaired: ${messageOf(error)}`;
    return { ...item, problem };
  }
}

async function repairConfig({ storage }: EngineContext, id: string): Promise<void> {
  const raw = storage.images.get(id)?.rawConfig;
  if (raw === undefined || digestOf(raw) !== id) {
    throw new GantryError("corrupt", "the database has no good copy either: pull the image again");
  }
  await storage.content.put(raw, { digest: id });
}

async function repairDocument(
  engine: EngineContext,
  digest: string,
  images: readonly StoredImage[],
  how: How,
): Promise<void> {
  const owners = images.filter(({ documents }) => documents.some((one) => one.digest === digest));
  const names = owners.flatMap(({ digests, references }) => [...digests, ...references]);
  const places = names.map((name) => placeOf(name));
  await fromAny(places, async (place) => {
    const { raw } = await fetchDocument(engine.registries, place, digest, how);
    await engine.storage.content.put(raw, { digest });
  });
}

/** From a kept blob where there is a sound one, or from wherever a form of the layer is known. */
async function repairLayer(engine: EngineContext, diffId: string, how: How): Promise<void> {
  const { layers, content } = engine.storage;
  const user = engine.containers.all().find((c) => isRunning(c) && c.diffIds.includes(diffId));
  if (user) {
    throw new GantryError(
      "conflict",
      `container ${user.id.slice(0, 12)} runs on it: stop it first`,
    );
  }
  const failures: unknown[] = [];
  for (const { digest } of layers.keptBlobs(diffId)) {
    try {
      return await unpackAnew(engine, diffId, await content.open(digest), how);
    } catch (error) {
      failures.push(error);
    }
  }
  const attempts = layers
    .blobs(diffId)
    .flatMap((blob) => layers.sources(blob.digest).map((name) => ({ ...placeOf(name), blob })));
  await fromAny(
    attempts,
    async ({ blob, ...place }) => {
      const bytes = await fetchBlob(engine.registries, place, blob, how);
      await unpackAnew(engine, diffId, bytes, how);
    },
    failures,
  );
}

async function unpackAnew(
  { storage }: EngineContext,
  diffId: string,
  bytes: Readable,
  { signal }: How,
): Promise<void> {
  try {
    const { stream } = await decompress(bytes);
    await storage.layers.replace(diffId, stream, signal ? { signal } : {});
  } catch (error) {
    throw bytes.errored ?? error;
  } finally {
    bytes.destroy();
  }
}

async function repairBlob(
  engine: EngineContext,
  { digest, diffId }: { digest: string; diffId?: string },
  how: How,
): Promise<void> {
  const { layers, content } = engine.storage;
  const blob = layers.blobs(diffId ?? "").find((one): one is Descriptor => one.digest === digest);
  if (blob === undefined) throw new GantryError("not-found", "its size is not known");
  await fromAny(layers.sources(digest).map(placeOf), async (place) => {
    await content.put(await fetchBlob(engine.registries, place, blob, how), blob);
  });
}

/** Tries one place after the other; throws the last reason when none works. */
async function fromAny<T extends BlobPlace>(
  places: readonly T[],
  fetch: (place: T) => Promise<void>,
  failures: unknown[] = [],
): Promise<void> {
  for (const place of places) {
    try {
      return await fetch(place);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures.at(-1);
  throw new GantryError("not-found", "no registry is known to hold it");
}

function placeOf(name: string): BlobPlace {
  const { registry, repository } = parseReference(name, { defaultTag: false });
  return { registry, repository };
}
