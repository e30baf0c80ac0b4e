// Manifests of a registry one by one, for who puts lists of them together (`manifest create`): the
// raw bytes, what they are, and for which platform.

import { GantryError } from "../base/index.ts";
import { digestOf, type Reference } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";
import { type ImageManifest, type ManifestIndex, parseManifest } from "./manifest.ts";
import { mountBlob, putManifest } from "./put.ts";
import type { Registry } from "./registry.ts";

const attemptsMax = 3;

/** As image indexes name it, with what only some platforms have. */
export interface FullPlatform {
  architecture: string;
  os: string;
  "os.version"?: string;
  "os.features"?: string[];
  variant?: string;
}
export interface RemoteManifest {
  raw: Buffer;
  digest: string;
  parsed: ImageManifest | ManifestIndex;
}

/** What a reference names, whole and checked. */
export async function fetchManifest(
  registry: Registry,
  { repository, tag, digest }: Reference,
): Promise<RemoteManifest> {
  const fetched = await registry.manifest(repository, digest ?? tag ?? "latest");
  const parsed = parseManifest(fetched.raw, fetched.mediaType);
  return { raw: fetched.raw, digest: fetched.digest, parsed };
}

/** The platform that an image's config names. */
export async function platformOf(
  registry: Registry,
  repository: string,
  config: Descriptor,
): Promise<FullPlatform> {
  let document: unknown;
  try {
    document = JSON.parse((await registry.smallBlob(repository, config)).toString("utf8"));
  } catch (cause) {
    if (cause instanceof GantryError) throw cause;
    throw new GantryError("corrupt", "image config is not valid JSON", { cause });
  }
  return fullPlatform(document);
}

/** Reads the fields of a platform from a config or an index entry; what is odd is left out. */
export function fullPlatform(value: unknown): FullPlatform {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const text = (key: string): string => {
    const one = fields[key];
    return typeof one === "string" ? one : "";
  };
  const features = fields["os.features"];
  const isList = Array.isArray(features) && features.every((one) => typeof one === "string");
  return {
    architecture: text("architecture"),
    os: text("os"),
    ...(text("os.version") ? { "os.version": text("os.version") } : {}),
    ...(isList && features.length > 0 ? { "os.features": features as string[] } : {}),
    ...(text("variant") ? { variant: text("variant") } : {}),
  };
}

/** Makes an image that another repository of the registry holds part of this one, as it is. */
export async function copyWithin(
  registry: Registry,
  { from, to }: { from: string; to: string },
  manifest: { raw: Uint8Array; mediaType: string },
  { signal }: { signal: AbortSignal },
): Promise<string> {
  const parsed = parseManifest(manifest.raw, manifest.mediaType);
  if (parsed.kind !== "image") throw new GantryError("invalid", "a list cannot be in a list");
  for (const { digest } of [parsed.config, ...parsed.layers]) {
    if (await registry.hasBlob(to, digest)) continue;
    if (await mountBlob(registry, to, digest, from, signal)) continue;
    throw new GantryError("unavailable", `the registry did not mount ${digest} from ${from}`);
  }
  const digest = digestOf(manifest.raw);
  await putManifest(registry, to, digest, manifest, { attemptsMax, signal });
  return digest;
}

/** Stores a list under a tag; every member has to be there. */
export async function putList(
  registry: Registry,
  { repository, tag = "latest" }: Reference,
  list: { raw: Uint8Array; mediaType: string },
  { signal }: { signal: AbortSignal },
): Promise<string> {
  await putManifest(registry, repository, tag, list, { attemptsMax, signal });
  return digestOf(list.raw);
}
