// What a manifest says, as far as a registry must know: what it refers to, what it is about, and
// what it is. Bytes from outside: every field is checked, and what two readers could understand
// differently (a media type against the document's shape, a key twice in other case) is refused.

import { RegistryError } from "./errors.ts";
import { isDigest } from "./names.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const KNOWN = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
const FIELDS = new Set(
  ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "artifactType"].map(
    (name) => name.toLowerCase(),
  ),
);
/** Descriptors in one manifest; each is looked up in the store. */
const descriptorsMax = 2_000;
const mediaTypeLengthMax = 255;

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}
export interface ManifestDocument {
  mediaType: string;
  /** Config and layers that the repository must hold. */
  blobs: Descriptor[];
  /** Manifests that the repository must hold. */
  manifests: Descriptor[];
  subject?: Descriptor;
  /** What it is for the referrers API: its artifactType, or its config's media type. */
  artifactType?: string;
  annotations?: Record<string, string>;
}

/** Reads a manifest that came with `contentType` (empty: only the document tells). Throws
 * MANIFEST_INVALID. */
export function parseManifest(raw: Uint8Array, contentType = ""): ManifestDocument {
  const document = parseObject(raw);
  const mediaType = mediaTypeOf(document, mainType(contentType));
  const isIndex = mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
  const parsed: ManifestDocument = { mediaType, blobs: [], manifests: [] };
  if (isIndex) {
    const entries = descriptors(document["manifests"], "manifests");
    parsed.manifests = entries.filter((entry) => !isBlobType(entry.mediaType));
    parsed.blobs = entries.filter((entry) => isBlobType(entry.mediaType));
  } else {
    const config = descriptor(document["config"], "config");
    const layers = descriptors(document["layers"] ?? [], "layers").filter((_, at) => {
      return !isElsewhere((document["layers"] as Record<string, unknown>[])[at]!);
    });
    parsed.blobs = [config, ...layers];
  }
  if (document["subject"] !== undefined && document["subject"] !== null) {
    parsed.subject = descriptor(document["subject"], "subject");
  }
  const artifactType = artifactTypeOf(document, isIndex);
  if (artifactType !== undefined) parsed.artifactType = artifactType;
  const annotations = annotationsOf(document["annotations"]);
  if (annotations !== undefined) parsed.annotations = annotations;
  return parsed;
}

/** An index may list what is no manifest: build caches of BuildKit list layers and their config. */
export function isBlobType(mediaType: string): boolean {
  return /\.tar([.+]\w+)?$|\.cacheconfig\.v\d+$/.test(mediaType);
}

/** The media type of a stored manifest, whatever was accepted once: what it says, else what it
 * looks like. */
export function sniffMediaType(raw: Uint8Array): string {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(raw).toString("utf8"));
  } catch {
    return "application/octet-stream";
  }
  if (!isObject(document)) return "application/octet-stream";
  if (typeof document["mediaType"] === "string" && /^[\w.+/-]+$/.test(document["mediaType"])) {
    return document["mediaType"];
  }
  if (document["schemaVersion"] === 1) {
    const signed = "signatures" in document ? "prettyjws" : "json";
    return `application/vnd.docker.distribution.manifest.v1+${signed}`;
  }
  return "manifests" in document ? OCI_INDEX : OCI_MANIFEST;
}

function parseObject(raw: Uint8Array): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
  } catch (cause) {
    throw bad("it is not JSON in UTF-8", cause);
  }
  if (!isObject(document)) throw bad("it is not an object");
  const seen = new Set<string>();
  for (const key of Object.keys(document)) {
    const folded = key.toLowerCase();
    if (FIELDS.has(folded) && seen.has(folded)) throw bad(`it has "${key}" twice`);
    seen.add(folded);
  }
  return document;
}

/** The type that the document, its shape and the request agree on. */
function mediaTypeOf(document: Record<string, unknown>, contentType: string): string {
  const said = document["mediaType"];
  if (said !== undefined && typeof said !== "string") throw bad("its mediaType is not a string");
  const version = document["schemaVersion"];
  if (version === 1 || /docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(contentType)) {
    throw bad("schema 1 is not supported: push the image again with a newer client");
  }
  if (version !== 2) throw bad("its schemaVersion is not 2");
  const isIndex = "manifests" in document;
  if (isIndex && ("layers" in document || "config" in document)) {
    throw bad("it is an image and an index at once");
  }
  const named = KNOWN.includes(contentType) ? contentType : "";
  if (named === "" && !/^(application\/(json|octet-stream))?$/.test(contentType)) {
    throw bad(`its media type ${JSON.stringify(contentType)} is not supported`);
  }
  const type = said || named || (isIndex ? OCI_INDEX : OCI_MANIFEST);
  if (!KNOWN.includes(type)) throw bad(`its mediaType ${JSON.stringify(type)} is not supported`);
  if (named !== "" && type !== named) {
    throw bad(`its mediaType is ${type}, but it was sent as ${named}`);
  }
  if ((type === OCI_INDEX || type === DOCKER_LIST) !== isIndex) {
    throw bad(`it does not look like ${type}`);
  }
  return type;
}

function artifactTypeOf(document: Record<string, unknown>, isIndex: boolean): string | undefined {
  const said = document["artifactType"];
  if (said !== undefined && typeof said !== "string") throw bad("its artifactType is not a string");
  if (said) return said;
  return isIndex ? undefined : (document["config"] as Descriptor).mediaType;
}

function annotationsOf(value: unknown): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined;
  const isMap = isObject(value) && Object.values(value).every((text) => typeof text === "string");
  if (!isMap) throw bad("its annotations are not a map of strings");
  return value as Record<string, string>;
}

function descriptors(value: unknown, where: string): Descriptor[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw bad(`${where} is not a list`);
  if (value.length > descriptorsMax) {
    throw bad(`${where} has ${value.length} entries, more than ${descriptorsMax}`);
  }
  return value.map((entry, at) => descriptor(entry, `${where}[${at}]`));
}

function descriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw bad(`${where} is not an object`);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== "string" || mediaType.length > mediaTypeLengthMax) {
    throw bad(`${where} has no media type`);
  }
  if (!isDigest(digest)) throw bad(`${where} has no sha256 or sha512 digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw bad(`${where} has a bad size`);
  }
  return { mediaType, digest, size };
}

/** Layers that may not be distributed: registries do not hold them, the manifest says where. */
function isElsewhere({ mediaType, urls }: Record<string, unknown>): boolean {
  if (!/\.(foreign|nondistributable)\./.test(String(mediaType))) return false;
  return Array.isArray(urls) && urls.length > 0 && urls.every(isWebAddress);
}

function isWebAddress(text: unknown): boolean {
  return typeof text === "string" && URL.canParse(text) && /^https?:/i.test(text);
}

function mainType(contentType: string): string {
  return contentType.split(";", 1)[0]!.trim().toLowerCase();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bad(why: string, cause?: unknown): RegistryError {
  return new RegistryError("MANIFEST_INVALID", `manifest invalid: ${why}`, { cause });
}
