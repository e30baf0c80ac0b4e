// What a reference that somebody wrote means: an id, a name, the beginning of an id, or the digest
// of a manifest, in this order, as docker takes them. Pure.

import { GantryError, kindOf } from "../base/index.ts";
import { formatReference, isDigest, parseReference, type Reference } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";

const INDEXES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

interface KnownImage {
  id: string;
  manifest?: Descriptor;
  documents: ReadonlyMap<string, Descriptor>;
  /** Normalised names. */
  names: ReadonlyMap<string, unknown>;
}
export interface KnownImages {
  /** By id. */
  images: ReadonlyMap<string, KnownImage>;
  /** Normalised name → id. */
  names: ReadonlyMap<string, string>;
}

/** The image's id. Throws invalid where the beginning of an id fits several. */
export function findImage(reference: string, known: KnownImages): string | undefined {
  return (
    byId(reference, known) ??
    byName(reference, known) ??
    byPrefix(reference, known) ??
    byManifest(reference, known)
  );
}

function byId(reference: string, { images }: KnownImages): string | undefined {
  const id = isDigest(reference) ? reference : `sha256:${reference}`;
  return images.has(id) ? id : undefined;
}

function byName(text: string, { images, names }: KnownImages): string | undefined {
  let reference: Reference;
  try {
    reference = parseReference(text);
  } catch (error) {
    if (kindOf(error) === "invalid") return undefined;
    throw error;
  }
  if (reference.digest === undefined) return names.get(formatReference(reference));
  // With a digest, a tag beside it is only decoration.
  const { tag: _, ...exact } = reference;
  const named = names.get(formatReference(exact));
  if (named !== undefined) return named;
  const prefix = `${reference.registry}/${reference.repository}`;
  const image = images.get(reference.digest);
  const hasName = [...(image?.names.keys() ?? [])].some((name) => repositoryOf(name) === prefix);
  return hasName ? image?.id : undefined;
}

function byPrefix(text: string, { images }: KnownImages): string | undefined {
  const prefix = text.startsWith("sha256:") ? text : `sha256:${text}`;
  if (!/^sha256:[0-9a-f]{1,63}$/.test(prefix)) return undefined;
  const found = [...images.keys()].filter((id) => id.startsWith(prefix));
  if (found.length > 1) {
    throw new GantryError("invalid", `ambiguous image id prefix: ${text}`, {
      detail: { matches: found },
    });
  }
  return found[0];
}

/** By the digest of its manifest or of an index that led to it; the one that has a name first. */
function byManifest(reference: string, { images }: KnownImages): string | undefined {
  if (!isDigest(reference)) return undefined;
  const found = [...images.values()].filter(({ manifest, documents }) => {
    const document = documents.get(reference);
    return manifest?.digest === reference || INDEXES.includes(document?.mediaType ?? "");
  });
  return (found.find(({ names }) => names.size > 0) ?? found[0])?.id;
}

/** docker.io/library/alpine of docker.io/library/alpine:3.20 or …@sha256:… */
function repositoryOf(name: string): string {
  const bare = name.split("@", 1)[0]!;
  const colon = bare.lastIndexOf(":");
  return colon > bare.lastIndexOf("/") ? bare.slice(0, colon) : bare;
}
