// What a pull would fetch of an image, without fetching its layers: the manifest for a platform and
// the config.

import { GantryError } from "../base/index.ts";
import type { Platform, Reference } from "../spec/index.ts";
import type { Credentials, Descriptor } from "./contract.ts";
import { chooseManifest, parseManifest } from "./manifest.ts";
import type { Registries } from "./registries.ts";
import { pullError } from "./registry-error.ts";

export interface ImageSeen {
  digest: string;
  config: Descriptor;
  rawConfig: Buffer;
  /** In the order in which they were made. */
  layers: readonly Descriptor[];
}

/** Throws docker's errors where there is none, or none for the platform. */
export async function lookAtImage(
  registries: Registries,
  reference: Reference,
  platform: Platform,
  o: { credentials?: Credentials; signal?: AbortSignal } = {},
): Promise<ImageSeen> {
  const { repository } = reference;
  const registry = await registries.open(reference.registry, { ...o, repository });
  const fetch = async (wanted: string) =>
    registry.manifest(repository, wanted).catch((error) => {
      throw pullError(error, reference);
    });
  let found = await fetch(reference.digest ?? reference.tag ?? "latest");
  let manifest = parseManifest(found.raw, found.mediaType);
  if (manifest.kind === "index") {
    const chosen = chooseManifest(manifest, platform);
    if (!chosen) {
      const { os, architecture } = platform;
      throw new GantryError(
        "not-found",
        `no matching manifest for ${os}/${architecture} in the manifest list entries`,
      );
    }
    found = await fetch(chosen.digest);
    manifest = parseManifest(found.raw, found.mediaType);
  }
  if (manifest.kind === "index") throw new GantryError("invalid", "an index within an index");
  const rawConfig = await registry.smallBlob(repository, manifest.config);
  return {
    digest: found.digest,
    config: manifest.config,
    rawConfig: Buffer.from(rawConfig),
    layers: manifest.layers,
  };
}
