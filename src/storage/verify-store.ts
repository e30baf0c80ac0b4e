// Reads everything that an image consists of and compares it with its digests: config, manifests,
// the exact tar of each layer, and the compressed blobs that are kept. Reading sets damaged blobs
// aside; nothing else is changed here.

import { GantryError, kindOf, messageOf } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import type { Storage, StoredImage } from "./contract.ts";

export type VerifiedKind = "config" | "manifest" | "layer" | "blob";
export interface VerifiedItem {
  kind: VerifiedKind;
  digest: string;
  state: "ok" | "damaged" | "missing";
  /** Of what was read. */
  bytes: number;
  /** What is wrong with it. */
  problem?: string;
  /** Names of the images that need it; their ids where they have none. */
  usedBy: string[];
  /** Of a blob: the layer that it unpacks to. */
  diffId?: string;
}
type VerifyStorage = Pick<Storage, "layers" | "content" | "images">;
type Wanted = Pick<VerifiedItem, "kind" | "digest" | "usedBy" | "diffId">;

/** Yields one item after the other, each as soon as it is read. What images share is read once.
 * With `loose`, layers that no image has (of containers) are looked at too. */
export async function* verifyStore(
  storage: VerifyStorage,
  images: readonly StoredImage[],
  { signal, loose = false }: { signal?: AbortSignal; loose?: boolean } = {},
): AsyncGenerator<VerifiedItem> {
  for (const item of wantedItems(storage, images, loose)) {
    signal?.throwIfAborted();
    yield await verifyItem(storage, item, signal);
  }
}

function wantedItems(
  { layers }: VerifyStorage,
  images: readonly StoredImage[],
  loose: boolean,
): Wanted[] {
  const found = new Map<string, Wanted>();
  const want = (kind: VerifiedKind, digest: string, image?: StoredImage, diffId?: string) => {
    const key = `${kind} ${digest}`;
    const item = found.get(key) ?? { kind, digest, usedBy: [], ...(diffId ? { diffId } : {}) };
    const names = image && (image.references.length > 0 ? image.references : [image.id]);
    item.usedBy = [...new Set([...item.usedBy, ...(names ?? [])])];
    found.set(key, item);
  };
  const wantLayer = (diffId: string, image?: StoredImage) => {
    want("layer", diffId, image);
    for (const { digest } of layers.keptBlobs(diffId)) want("blob", digest, image, diffId);
  };
  for (const image of images) {
    want("config", image.id, image);
    for (const { digest } of image.documents) want("manifest", digest, image);
    for (const { diffId } of image.layers) wantLayer(diffId, image);
  }
  if (loose) for (const { diffId } of layers.list()) wantLayer(diffId);
  return [...found.values()];
}

/** Never rejects but for the signal: what cannot be read is damaged. */
export async function verifyItem(
  storage: VerifyStorage,
  item: Wanted,
  signal?: AbortSignal,
): Promise<VerifiedItem> {
  let bytes = 0;
  try {
    if (item.kind === "layer") {
      bytes = await drain(await storage.layers.tar(item.digest), signal);
    } else {
      bytes = await drain(await storage.content.open(item.digest), signal);
    }
    if (item.kind === "config") checkRecord(storage, item.digest);
    return { ...item, state: "ok", bytes };
  } catch (error) {
    signal?.throwIfAborted();
    const state = kindOf(error) === "not-found" ? "missing" : "damaged";
    return { ...item, state, bytes, problem: messageOf(error) };
  }
}

/** The config is in the database as well. */
function checkRecord({ images }: VerifyStorage, id: string): void {
  const raw = images.get(id)?.rawConfig;
  if (raw === undefined || digestOf(raw) === id) return;
  throw new GantryError("corrupt", `The database has another config for ${id}`);
}

async function drain(stream: AsyncIterable<unknown>, signal?: AbortSignal): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) {
    signal?.throwIfAborted();
    bytes += (chunk as Uint8Array).length;
  }
  return bytes;
}
