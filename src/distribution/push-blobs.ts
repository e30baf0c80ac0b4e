// Pushes what is no image but made of layers: a build cache. Every layer in exactly the form that
// the manifest names, the small blobs beside them, then the manifest.

import { GantryError } from "../base/index.ts";
import { digestOf } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";
import { openTarget, type PushRequest, putLayers, putSmall } from "./push.ts";
import type { PushedLayer, PushStore } from "./push-layer.ts";
import { putManifest } from "./put.ts";
import type { Registries } from "./registries.ts";

export interface PushedBlobs {
  layers: readonly PushedLayer[];
  /** The form of each layer. */
  forms: readonly Descriptor[];
  documents: readonly Uint8Array[];
  /** The last one gets the tag; those before it are stored by their digest. */
  manifests: readonly { raw: Uint8Array; mediaType: string }[];
}

/** Commit point: the last manifest is stored. */
export async function pushBlobs(
  registries: Registries,
  store: PushStore,
  { blobs, ...rest }: Omit<PushRequest, "image"> & { blobs: PushedBlobs },
): Promise<void> {
  const { layers, forms, documents, manifests } = blobs;
  const image = { rawConfig: new Uint8Array(), layers: [...layers] };
  const context = await openTarget(registries, store, { ...rest, image });
  const { repository, tag = "latest" } = rest.reference;
  const [config] = forms;
  if (config !== undefined) {
    const wanted = { kind: "image" as const, mediaType: "", config, layers: [...forms] };
    const put = await putLayers(context, image, wanted);
    if (put.some(({ digest }, at) => digest !== forms[at]!.digest)) {
      throw new GantryError("conflict", "a layer has lost its form while it was pushed");
    }
  }
  for (const document of documents) await putSmall(context, repository, document);
  for (const [at, manifest] of manifests.entries()) {
    const name = at === manifests.length - 1 ? tag : digestOf(manifest.raw);
    await putManifest(context.registry, repository, name, manifest, context.retry);
  }
}
