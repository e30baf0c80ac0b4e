// Checks an image where it lies, in a registry: every manifest, config and layer of every platform
// is fetched and hashed. And fetches single blobs and manifests whose digest is known, for repair.

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { GantryError, messageOf } from "../base/index.ts";
import { algorithmOf, type Reference } from "../spec/index.ts";
import type { Credentials, Descriptor } from "./contract.ts";
import { parseManifest } from "./manifest.ts";
import type { Registries } from "./registries.ts";
import type { Registry } from "./registry.ts";
import { pullError } from "./registry-error.ts";

export interface RemoteItem {
  kind: "manifest" | "config" | "blob";
  digest: string;
  state: "ok" | "damaged" | "missing";
  bytes: number;
  problem?: string;
}
type Options = { credentials?: Credentials; signal?: AbortSignal };
type Walk = { registry: Registry; repository: string; seen: Set<string>; options: Options };

const manifestsMax = 10_000;
const indexDepthMax = 4;

/** Throws docker's error when there is no such image; what is wrong within it is an item. */
export async function* verifyRemote(
  registries: Registries,
  reference: Reference,
  options: Options = {},
): AsyncGenerator<RemoteItem> {
  const { repository } = reference;
  const registry = await registries.open(reference.registry, { ...options, repository });
  const asked = reference.digest ?? reference.tag ?? "latest";
  const root = await registry.manifest(repository, asked).catch((error) => {
    throw pullError(error, reference);
  });
  const walk = { registry, repository, seen: new Set([root.digest]), options };
  yield* verifyManifest(walk, root, 0);
}

async function* verifyManifest(
  walk: Walk,
  { raw, mediaType, digest }: { raw: Uint8Array; mediaType: string; digest: string },
  depth: number,
): AsyncGenerator<RemoteItem> {
  let manifest: ReturnType<typeof parseManifest>;
  try {
    manifest = parseManifest(raw, mediaType);
  } catch (error) {
    const problem = messageOf(error);
    yield { kind: "manifest", digest, state: "damaged", bytes: raw.length, problem };
    return;
  }
  yield { kind: "manifest", digest, state: "ok", bytes: raw.length };
  if (manifest.kind === "index") {
    if (depth >= indexDepthMax) {
      throw new GantryError("invalid", "Image indexes are nested too deep");
    }
    for (const child of manifest.manifests) yield* verifyChild(walk, child, depth + 1);
    return;
  }
  yield* verifyBlob(walk, "config", manifest.config);
  for (const layer of manifest.layers) yield* verifyBlob(walk, "blob", layer);
}

async function* verifyChild(
  walk: Walk,
  { digest }: Descriptor,
  depth: number,
): AsyncGenerator<RemoteItem> {
  if (!isNew(walk, digest)) return;
  try {
    const child = await walk.registry.manifest(walk.repository, digest);
    yield* verifyManifest(walk, child, depth);
  } catch (error) {
    yield failure("manifest", digest, error, walk.options.signal);
  }
}

function isNew({ seen }: Walk, digest: string): boolean {
  if (seen.has(digest)) return false;
  if (seen.size >= manifestsMax) throw new GantryError("invalid", "The image has too many parts");
  seen.add(digest);
  return true;
}

async function* verifyBlob(
  walk: Walk,
  kind: "config" | "blob",
  descriptor: Descriptor,
): AsyncGenerator<RemoteItem> {
  const { digest } = descriptor;
  if (!isNew(walk, digest)) return;
  let bytes = 0;
  try {
    for await (const chunk of checkedBlob(walk.registry, walk.repository, descriptor)) {
      bytes += chunk.length;
    }
    yield { kind, digest, state: "ok", bytes };
  } catch (error) {
    yield { ...failure(kind, digest, error, walk.options.signal), bytes };
  }
}

function failure(
  kind: RemoteItem["kind"],
  digest: string,
  error: unknown,
  signal: AbortSignal | undefined,
): RemoteItem {
  signal?.throwIfAborted();
  const missing = error instanceof GantryError && error.kind === "not-found";
  const problem = messageOf(error);
  return { kind, digest, state: missing ? "missing" : "damaged", bytes: 0, problem };
}

/** Ends with an error when the bytes are not those of the descriptor. */
async function* checkedBlob(
  registry: Registry,
  repository: string,
  descriptor: Descriptor,
): AsyncGenerator<Buffer> {
  const { digest, size } = descriptor;
  const { response } = await registry.blob(repository, descriptor);
  const hash = createHash(algorithmOf(digest));
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > size) break;
    hash.update(chunk);
    yield chunk;
  }
  if (bytes !== size) {
    const much = bytes > size ? "more" : `${bytes}`;
    throw new GantryError("corrupt", `Blob ${digest} has ${much} bytes, want ${size}`);
  }
  const got = `${algorithmOf(digest)}:${hash.digest("hex")}`;
  if (got !== digest) throw new GantryError("corrupt", `Blob ${digest} has digest ${got}`);
}

/** The bytes of a blob, checked on the way: the stream ends with an error when they are wrong. */
export async function fetchBlob(
  registries: Registries,
  place: { registry: string; repository: string },
  descriptor: Descriptor,
  options: Options = {},
): Promise<Readable> {
  const { repository } = place;
  const registry = await registries.open(place.registry, { ...options, repository });
  return Readable.from(checkedBlob(registry, repository, descriptor), { objectMode: false });
}

/** A manifest or index by its digest, checked. */
export async function fetchDocument(
  registries: Registries,
  place: { registry: string; repository: string },
  digest: string,
  options: Options = {},
): Promise<{ raw: Uint8Array; mediaType: string }> {
  const { repository } = place;
  const registry = await registries.open(place.registry, { ...options, repository });
  return await registry.manifest(repository, digest);
}
