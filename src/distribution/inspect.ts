// What a registry has under a reference, without pulling it.

import type { Platform, Reference } from "../spec/index.ts";
import type { Credentials, Descriptor } from "./contract.ts";
import { parseManifest } from "./manifest.ts";
import type { Registries } from "./registries.ts";
import { pullError } from "./registry-error.ts";

export interface RemoteImage {
  descriptor: Descriptor;
  platforms: Platform[];
}

/** Throws docker's errors when there is none. */
export async function inspectRemote(
  registries: Registries,
  reference: Reference,
  o: { credentials?: Credentials; signal?: AbortSignal },
): Promise<RemoteImage> {
  const { repository } = reference;
  const registry = await registries.open(reference.registry, { ...o, repository });
  const asked = reference.digest ?? reference.tag ?? "latest";
  const { raw, mediaType, digest } = await registry.manifest(repository, asked).catch((error) => {
    throw pullError(error, reference);
  });
  const manifest = parseManifest(raw, mediaType);
  const descriptor = { mediaType: manifest.mediaType, digest, size: raw.length };
  if (manifest.kind === "index") {
    const platforms = manifest.manifests.flatMap(({ platform }) => (platform ? [platform] : []));
    return { descriptor, platforms };
  }
  const config = JSON.parse((await registry.smallBlob(repository, manifest.config)).toString()) as {
    [key in keyof Platform]?: unknown;
  };
  const { os, architecture, variant } = config;
  const platform = {
    os: String(os ?? "linux"),
    architecture: String(architecture ?? ""),
    ...(typeof variant === "string" && variant ? { variant } : {}),
  };
  return { descriptor, platforms: [platform] };
}
