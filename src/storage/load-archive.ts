// `docker load`: reads a docker-archive (both the old <id>/layer.tar and the new blobs/sha256
// form) or an OCI layout from a stream, compressed or not, and stores its images. Layers are
// unpacked as they come by and matched with the manifests at the end; those that no manifest
// claims are collected again.

import type { Readable } from "node:stream";
import type { Layer, Storage } from "./contract.ts";
import { parseImageConfig } from "./image-config.ts";
import { noContents, readContents } from "./load-contents.ts";
import { type LoadPlan, type Platform, planLoad } from "./load-plan.ts";
import { archiveError } from "./native-streams.ts";

export interface LoadOptions {
  /** Which images of an index to take; none: every one that is there. */
  platforms?: readonly Platform[];
  /** This machine: which image of an index gets its name; default: the first. */
  host?: Platform;
  onLayer?: (layer: Layer) => void;
  signal?: AbortSignal;
}
export interface LoadedImage {
  id: string;
  /** Normalised tags that the archive gave it. */
  references: string[];
  /** The digest of the index that led to it, when all of that is here. */
  index?: string;
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
    return await store(storage, plan, options.host);
  } catch (error) {
    throw archiveError(error);
  } finally {
    await lease.release();
  }
}

async function store(
  storage: LoadStorage,
  plan: LoadPlan,
  host: Platform | undefined,
): Promise<LoadedImage[]> {
  for (const blob of plan.blobs) {
    storage.layers.noteBlob(blob.diffId, blob);
    if (blob.isKept) storage.layers.keepBlob(blob.digest);
  }
  const loaded: LoadedImage[] = [];
  for (const { rawConfig, manifest, manifestType, references, index } of namedOnce(plan, host)) {
    const id = await storage.images.put(rawConfig, {
      ...(manifest ? { manifest } : {}),
      ...(manifestType ? { manifestType } : {}),
      ...(index ? { indexes: [index, ...index.documents] } : {}),
    });
    loaded.push({ id, references, ...(index ? { index: index.digest } : {}) });
  }
  for (const { id, references, index } of loaded) {
    for (const reference of references) {
      await storage.images.tag(id, reference, index === undefined ? {} : { index });
    }
  }
  return loaded;
}

/** A name that an index gives to several images is that of the one for this machine. */
function namedOnce(plan: LoadPlan, host: Platform | undefined): LoadPlan["images"] {
  const owners = new Map<string, LoadPlan["images"][number]>();
  for (const image of plan.images) {
    for (const reference of image.references) {
      const before = owners.get(reference);
      if (before === undefined || (fits(image, host) && !fits(before, host))) {
        owners.set(reference, image);
      }
    }
  }
  return plan.images.map((image) => ({
    ...image,
    references: image.references.filter((reference) => owners.get(reference) === image),
  }));
}

function fits({ rawConfig }: LoadPlan["images"][number], host: Platform | undefined): boolean {
  const { os, architecture } = parseImageConfig(rawConfig);
  return host !== undefined && (os || "linux") === host.os && architecture === host.architecture;
}
