// Reading manifests and indexes of registries: bytes from outside, so every field is checked and
// has a limit before anything is believed.

import { GantryError } from "../base/index.ts";
import type { Platform } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isImageConfig,
  isIndex,
  isSchema1,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-types.ts";
import { platformRank } from "./platform.ts";

/** overlayfs stacks 500, and one is the container's own. */
const layersMax = 499;
const indexEntriesMax = 1000;
/** Larger than any that platformRank() gives. */
const unsaidRank = 1000;
const NOWHERE: Platform = { os: "unknown", architecture: "unknown" };
export const configBytesMax = 8 << 20;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export interface ImageManifest {
  kind: "image";
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
}
export interface ManifestIndex {
  kind: "index";
  mediaType: string;
  manifests: (Descriptor & { platform?: Platform })[];
}

export function isRegistryDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Parses a manifest whose type the registry's Content-Type names. Throws invalid or corrupt. */
export function parseManifest(raw: Uint8Array, contentType: string): ImageManifest | ManifestIndex {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(raw).toString("utf8"));
  } catch (cause) {
    throw new GantryError("corrupt", "manifest is not valid JSON", { cause });
  }
  if (!isObject(document)) throw bad("it is not an object");
  const mediaType = typeOf(document, contentType.split(";", 1)[0]!.trim());
  if (isIndex(mediaType)) return parseIndex(document, mediaType);
  const config = parseDescriptor(document["config"], "config");
  if (!isImageConfig(config.mediaType)) {
    const what = config.mediaType.includes("plugin") ? "plugin" : "unknown";
    throw new GantryError(
      "invalid",
      `Encountered remote "${config.mediaType}"(${what}) when fetching`,
    );
  }
  if (config.size > configBytesMax) throw bad(`its config is larger than ${configBytesMax} bytes`);
  const layers = list(document["layers"] ?? [], "layers", layersMax);
  return {
    kind: "image",
    mediaType,
    config,
    layers: layers.map((layer, at) => parseDescriptor(layer, `layers[${at}]`)),
  };
}

/** The type that the document and the registry agree on: two readings of one text are an attack. */
function typeOf(document: Record<string, unknown>, contentType: string): string {
  const said = document["mediaType"];
  if (said !== undefined && typeof said !== "string") throw bad("its mediaType is not a string");
  if (document["schemaVersion"] === 1 || isSchema1(contentType) || isSchema1(said ?? "")) {
    throw new GantryError(
      "not-implemented",
      "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: " +
        "push the image again with a newer client",
    );
  }
  const known = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST];
  const guess = "manifests" in document ? OCI_INDEX : OCI_MANIFEST;
  const type = said || (known.includes(contentType) ? contentType : guess);
  if (!known.includes(type)) {
    throw new GantryError("invalid", `unsupported manifest media type: ${type}`);
  }
  if (known.includes(contentType) && type !== contentType) {
    throw bad(`mediaType in manifest should be '${contentType}' not '${type}'`);
  }
  const both = "manifests" in document && ("layers" in document || "config" in document);
  if (both || isIndex(type) !== "manifests" in document) {
    throw bad(`it does not look like ${type}`);
  }
  return type;
}

function parseIndex(document: Record<string, unknown>, mediaType: string): ManifestIndex {
  const entries = list(document["manifests"], "manifests", indexEntriesMax);
  return {
    kind: "index",
    mediaType,
    manifests: entries.map((entry, at) => {
      const descriptor = parseDescriptor(entry, `manifests[${at}]`);
      if (isAttestation(entry as Record<string, unknown>))
        return { ...descriptor, platform: NOWHERE };
      const platform = parseEntryPlatform((entry as Record<string, unknown>)["platform"]);
      return platform ? { ...descriptor, platform } : descriptor;
    }),
  };
}

/** BuildKit puts provenance and SBOMs beside the images that they are about. */
function isAttestation({ annotations, artifactType }: Record<string, unknown>): boolean {
  if (typeof artifactType === "string" && !isImageConfig(artifactType)) return true;
  return isObject(annotations) && annotations["vnd.docker.reference.type"] !== undefined;
}

function parseEntryPlatform(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  const { os, architecture, variant } = value;
  if (typeof os !== "string" || typeof architecture !== "string") return undefined;
  return { os, architecture, ...(typeof variant === "string" && variant ? { variant } : {}) };
}

function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw bad(`${where} is not an object`);
  const { mediaType, digest, size, urls } = value;
  if (typeof mediaType !== "string") throw bad(`${where} has no mediaType`);
  if (typeof digest !== "string" || !DIGEST.test(digest)) throw bad(`${where} has a bad digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw bad(`${where} has a bad size`);
  }
  const links = Array.isArray(urls) ? urls.filter((url) => typeof url === "string") : [];
  return { mediaType, digest, size, ...(links.length > 0 ? { urls: links } : {}) };
}

function list(value: unknown, where: string, max: number): unknown[] {
  if (!Array.isArray(value)) throw bad(`${where} is not a list`);
  if (value.length > max) throw bad(`${where} has ${value.length} entries, more than ${max}`);
  return value;
}

/** The entry that suits `wanted` best, or undefined. One that does not say what it is for comes
 * after all that do: its config tells. */
export function chooseManifest(index: ManifestIndex, wanted: Platform): Descriptor | undefined {
  let best: { entry: Descriptor; rank: number } | undefined;
  for (const entry of index.manifests) {
    const rank = entry.platform ? platformRank(entry.platform, wanted) : unsaidRank;
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank };
  }
  return best?.entry;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bad(why: string): GantryError {
  return new GantryError("invalid", `invalid manifest: ${why}`);
}
