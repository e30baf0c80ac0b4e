// `docker load`: reads a docker-archive (both the old <id>/layer.tar and the new blobs/sha256
// form) or an OCI layout from a stream, compressed or not, and stores its images. Layers are
// unpacked as they come by and matched with the manifests at the end; those that no manifest
// claims are collected again.

import type { Readable } from "node:stream";
import type { Layer, Storage } from "./contract.ts";
import { noContents, readContents } from "./load-contents.ts";
import { type LoadPlan, type Platform, planLoad } from "./load-plan.ts";
import { archiveError } from "./native-streams.ts";

export interface LoadOptions {
  /** Which images of an index to take; none: every one that is there. */
  platforms?: readonly Platform[];
  onLayer?: (layer: Layer) => void;
  signal?: AbortSignal;
}
export interface LoadedImage {
  id: string;
  /** Normalised tags that the archive gave it. */
  references: string[];
}
type LoadStorage = Pick<Storage, "layers" | "images" | "content" | "lease">;

/** Stores every image of the archive. Nothing is tagged unless all of it was sound. */
export async function loadArchive(
  storage: LoadStorage,
  from: Readable,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const contents = noContents();
  const lease = storage.lease();
  try {
    await readContents(storage, from, contents, { ...options, lease });
    const plan = planLoad(contents, options.platforms);
    return await store(storage, plan);
  } catch (error) {
    throw archiveError(error);
  } finally {
    await lease.release();
  }
}

async function store(storage: LoadStorage, plan: LoadPlan): Promise<LoadedImage[]> {
  for (const blob of plan.blobs) {
    storage.layers.noteBlob(blob.diffId, blob);
    if (blob.isKept) storage.layers.keepBlob(blob.digest);
  }
  const loaded: LoadedImage[] = [];
  for (const image of plan.images) {
    const id = await storage.images.put(image.rawConfig, {
      ...(image.manifest ? { manifest: image.manifest } : {}),
      ...(image.manifestType ? { manifestType: image.manifestType } : {}),
    });
    loaded.push({ id, references: image.references });
  }
  for (const { id, references } of loaded) {
    for (const reference of references) await storage.images.tag(id, reference);
  }
  return loaded;
}
