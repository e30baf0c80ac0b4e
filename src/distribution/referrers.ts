// What refers to an image (signatures, SBOMs, attestations): the referrers API of distribution-spec
// 1.1, and where a registry does not know it, the index under the tag that the digest gives.

import { GantryError, kindOf } from "../base/index.ts";
import type { Descriptor } from "./contract.ts";
import { isRegistryDigest } from "./manifest.ts";
import { OCI_INDEX } from "./media-types.ts";
import { pullScope, type Registry } from "./registry.ts";

const referrersMax = 10_000;
const algorithmCharsMax = 32;
const hexCharsMax = 64;

export interface Referrer extends Descriptor {
  artifactType: string;
  annotations: Record<string, string>;
}

/** Every referrer of a digest, of one type or all. */
export async function listReferrers(
  registry: Registry,
  repository: string,
  digest: string,
  { artifactType }: { artifactType?: string } = {},
): Promise<Referrer[]> {
  if (!isRegistryDigest(digest)) throw new GantryError("invalid", `invalid digest ${digest}`);
  const all = (await byApi(registry, repository, digest, artifactType)) ?? [
    ...(await byTag(registry, repository, digest)),
  ];
  // A registry may ignore the filter.
  return artifactType ? all.filter((one) => one.artifactType === artifactType) : all;
}

/** Undefined when the registry has no such API. */
async function byApi(
  registry: Registry,
  repository: string,
  digest: string,
  artifactType: string | undefined,
): Promise<Referrer[] | undefined> {
  const query = artifactType ? `?artifactType=${encodeURIComponent(artifactType)}` : "";
  const path = `/v2/${repository}/referrers/${digest}${query}`;
  const found: Referrer[] = [];
  try {
    for await (const page of registry.pages(path, pullScope(repository), { Accept: OCI_INDEX })) {
      if (!Array.isArray(page["manifests"])) return undefined;
      found.push(...parse(page["manifests"]));
      if (found.length > referrersMax) throw tooMany();
    }
    return found;
  } catch (error) {
    const status = error instanceof GantryError ? error.detail["status"] : undefined;
    if (status === 404 || status === 405 || status === 400) return undefined;
    throw error;
  }
}

/** sha256:abc… as the tag sha256-abc… . */
async function byTag(registry: Registry, repository: string, digest: string): Promise<Referrer[]> {
  const [algorithm = "", hex = ""] = digest.split(":");
  const tag = `${algorithm.slice(0, algorithmCharsMax)}-${hex.slice(0, hexCharsMax)}`;
  try {
    const { raw } = await registry.manifest(repository, tag);
    const { manifests } = JSON.parse(raw.toString("utf8")) as { manifests?: unknown };
    return Array.isArray(manifests) ? parse(manifests) : [];
  } catch (error) {
    if (kindOf(error) === "not-found") return [];
    throw error;
  }
}

function parse(entries: readonly unknown[]): Referrer[] {
  if (entries.length > referrersMax) throw tooMany();
  return entries.flatMap((entry): Referrer[] => {
    const { mediaType, digest, size, artifactType, annotations } = (entry ?? {}) as Record<
      string,
      unknown
    >;
    const isSound = typeof digest === "string" && isRegistryDigest(digest);
    if (!isSound || typeof mediaType !== "string" || !Number.isSafeInteger(size)) return [];
    const notes = Object.entries((annotations ?? {}) as object);
    return [
      {
        mediaType,
        digest,
        size: size as number,
        artifactType: typeof artifactType === "string" ? artifactType : "",
        annotations: Object.fromEntries(notes.filter(([, text]) => typeof text === "string")),
      },
    ];
  });
}

function tooMany(): GantryError {
  return new GantryError("invalid", `more than ${referrersMax} referrers`);
}
