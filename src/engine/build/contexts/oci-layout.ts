// An image in the client's own content store (`oci-layout://`): its manifest is looked at here, and
// what that names is read as if it came in an archive, so that everything is checked as for any
// other image. Kept as an image without a name, so that the next build finds it.

import { Readable } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import { digestOf, hexOf, isDigest, type Platform } from "../../../spec/index.ts";
import { loadArchive, type Storage, type StoredImage } from "../../../storage/index.ts";
import type { BuildSession, SessionContentStore } from "../session.ts";
import { BLANK, contentEnd, fileHeader, tarEnd } from "../tar-writer.ts";

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
const DEPTH_MAX = 4;

interface Descriptor {
  mediaType?: string;
  digest: string;
  size: number;
  platform?: { os?: string; architecture?: string; variant?: string };
}
interface Manifest {
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: Descriptor[];
}

/** `reference`: "store[:tag]@sha256:…". Throws invalid where it holds no such image. */
export async function loadLayout(
  storage: Storage,
  { session, reference }: { session: BuildSession; reference: string },
  { platform, signal }: { platform: Platform; signal: AbortSignal },
): Promise<StoredImage> {
  const [name = "", digest] = reference.split("@");
  if (digest === undefined || !isDigest(digest)) {
    const message = `oci-layout reference ${JSON.stringify(reference)} must have a digest`;
    throw new GantryError("invalid", message);
  }
  // Clients name the stores of their layouts with this before the id that the reference has.
  const store = session.contentStore(`oci:${name.replace(/:[^:/]*$/, "")}`);
  const signals = AbortSignal.any([signal, session.closed]);
  const chosen = await choose(store, digest, { platform, signal: signals });
  const records = storage.records.collection<{ id: string }>("build-layouts");
  const known = storage.images.get(records.get(chosen.digest)?.id ?? "");
  if (known) return known;
  const tar = Readable.from(archive(store, chosen, signals), { objectMode: false });
  const [loaded] = await loadArchive(storage, tar, { signal: signals });
  const image = loaded && storage.images.get(loaded.id);
  if (!image) throw new GantryError("invalid", `${reference} holds no image`);
  records.put(chosen.digest, { id: image.id });
  return image;
}

interface Chosen {
  digest: string;
  mediaType: string;
  raw: Buffer;
  manifest: Manifest;
}

/** The image's own manifest, through however many indexes. */
async function choose(
  store: SessionContentStore,
  digest: string,
  { platform, signal }: { platform: Platform; signal: AbortSignal },
): Promise<Chosen> {
  let at: Descriptor = { digest, size: 0 };
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const raw = await readBlob(store, at.digest, signal);
    const manifest = parse(raw);
    if (manifest.config && manifest.layers) {
      const mediaType = at.mediaType ?? typeOf(raw);
      return { digest: at.digest, mediaType, raw, manifest };
    }
    const entries = manifest.manifests ?? [];
    const fit = entries.find((entry) => fits(entry, platform));
    const only = entries.length === 1 && !entries[0]!.platform ? entries[0] : undefined;
    const next = fit ?? only;
    if (next === undefined) {
      const wanted = `${platform.os}/${platform.architecture}`;
      throw new GantryError("not-found", `no image for ${wanted} in the OCI layout`);
    }
    at = next;
  }
  throw new GantryError("invalid", "indexes of an OCI layout are nested too deeply");
}

function fits({ platform: own }: Descriptor, wanted: Platform): boolean {
  if (own?.os !== wanted.os || own.architecture !== wanted.architecture) return false;
  return !wanted.variant || !own.variant || own.variant === wanted.variant;
}

function typeOf(raw: Buffer): string {
  const said = JSON.parse(raw.toString()).mediaType;
  return typeof said === "string" ? said : "application/vnd.oci.image.manifest.v1+json";
}

function parse(raw: Buffer): Manifest {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(raw.toString());
  } catch (cause) {
    throw new GantryError("corrupt", "a manifest of the OCI layout is no JSON", { cause });
  }
  const { config, layers = [], manifests = [] } = manifest ?? {};
  const isSound = Array.isArray(layers) && Array.isArray(manifests);
  const all = isSound ? [...(config ? [config] : []), ...layers, ...manifests] : [];
  const sound = all.every(
    (one) => isDigest(one?.digest) && Number.isSafeInteger(one.size) && one.size >= 0,
  );
  if (!isSound || !sound) {
    throw new GantryError("corrupt", "a manifest of the OCI layout is damaged");
  }
  return manifest;
}

async function readBlob(
  store: SessionContentStore,
  digest: string,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of store.read(digest, { signal })) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MANIFEST_BYTES_MAX) {
      throw new GantryError("invalid", "a manifest of the OCI layout is too large");
    }
  }
  const raw = Buffer.concat(chunks);
  if (digestOf(raw) !== digest) {
    throw new GantryError("corrupt", `the OCI layout gives other bytes for ${digest}`);
  }
  return raw;
}

/** An OCI archive with that image alone. */
async function* archive(
  store: SessionContentStore,
  { digest, mediaType, raw, manifest }: Chosen,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const small = (name: string, text: Buffer) => [
    fileHeader({ ...BLANK, name, size: text.length }),
    text,
    contentEnd(text.length),
  ];
  yield* small("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  const manifests = [{ mediaType, digest, size: raw.length }];
  yield* small("index.json", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
  yield* small(blobName(digest), raw);
  const written = new Set<string>();
  for (const blob of [manifest.config!, ...manifest.layers!]) {
    if (written.has(blob.digest)) continue;
    written.add(blob.digest);
    yield fileHeader({ ...BLANK, name: blobName(blob.digest), size: blob.size });
    let left = blob.size;
    for await (const chunk of store.read(blob.digest, { signal })) {
      left -= chunk.length;
      if (left < 0) break;
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    }
    if (left !== 0) {
      throw new GantryError("corrupt", `the OCI layout gives other bytes for ${blob.digest}`);
    }
    yield contentEnd(blob.size);
  }
  yield tarEnd;
}

const blobName = (digest: string): string => `blobs/${digest.split(":")[0]}/${hexOf(digest)}`;
