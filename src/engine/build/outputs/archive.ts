// The exporters `oci` and `docker`: an OCI image layout, as a tar for the client or as blobs in its
// folder; the docker variant also has the manifest.json that `docker load` reads. The order and the
// times in the tar are always the same.

import { GantryError } from "../../../base/index.ts";
import { familiarReference, formatReference, hexOf } from "../../../spec/index.ts";
import type { VertexReport } from "../job.ts";
import type { BuildSession } from "../session.ts";
import { BLANK, contentEnd, fileHeader, tarEnd } from "../tar-writer.ts";
import type { ArchiveOutput } from "./attributes.ts";
import { gathered } from "./gathered.ts";
import { meter } from "./progress.ts";
import { creationTime, describe, type Response } from "./response.ts";
import { type Shaped, type ShapePlace, shapeImages } from "./shape.ts";

const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
/** What BuildKit's clients call the folder of an output with tar=false. */
const STORE = "export";

type Bytes = AsyncIterable<Uint8Array> | readonly Uint8Array[];
interface Blob {
  digest: string;
  size: number;
  open(): Promise<Bytes>;
}

export async function exportArchive(
  place: ShapePlace,
  output: ArchiveOutput,
  { vertex, session }: { vertex: VertexReport; session: BuildSession | undefined },
): Promise<{ response: Response; needed: readonly string[] }> {
  if (session === undefined) {
    const message = `output "${output.variant}" needs a client that takes the file`;
    throw new GantryError("invalid", message);
  }
  const { form, variant } = output;
  const ociTypes = form.ociTypes ?? variant === "oci";
  const isDocker = variant === "docker";
  const names = output.names.map(formatReference);
  const shaped = await shapeImages(
    place,
    { ...form, ociTypes },
    { manifests: true, hasBytes: true, inlineAttestations: !isDocker, single: isDocker, names },
    vertex,
  );
  const response = describe(shaped, names, form.epochSeconds);
  const blobs = blobsOf(place, shaped);
  const { signal } = place;
  if (!output.tar) {
    await sendBlobs(session, blobs, vertex, signal);
    return { response, needed: [] };
  }
  const bytes = meter(vertex, "sending tarball");
  const tar = gathered(archive(output, shaped, blobs, bytes.add));
  try {
    await session.sendFile({ exporter: output.exporter, metadata: response }, tar, { signal });
  } finally {
    void tar.return(undefined); // a client that went away reads no more: neither do we
  }
  bytes.end();
  return { response, needed: [] };
}

function blobsOf({ forms }: ShapePlace, { images, index }: Shaped): Blob[] {
  const blobs = new Map<string, Blob>();
  const small = (digest: string, raw: Uint8Array): void => {
    blobs.set(digest, { digest, size: raw.length, open: async () => [raw] });
  };
  for (const { config, id, layers, diffIds, manifest, attestation } of images) {
    for (const [at, { digest, size }] of layers.entries()) {
      const open = async () => await forms.open(diffIds[at]!, digest);
      blobs.set(digest, { digest, size, open });
    }
    small(id, config);
    if (manifest) small(manifest.descriptor.digest, manifest.raw);
    for (const { raw, descriptor } of attestation
      ? [attestation.manifest, ...attestation.blobs]
      : []) {
      small(descriptor.digest, raw);
    }
  }
  if (index) small(index.descriptor.digest, index.raw);
  return [...blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

async function sendBlobs(
  session: BuildSession,
  blobs: readonly Blob[],
  vertex: VertexReport,
  signal: AbortSignal,
): Promise<void> {
  const store = session.contentStore(STORE);
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  const bytes = meter(vertex, "copying to client", total);
  for (const { digest, size, open } of blobs) {
    if ((await store.size(digest, { signal })) !== size) {
      await store.write({ digest, size }, counted(await open(), bytes.add), { signal });
    }
  }
  bytes.end();
}

async function* archive(
  output: ArchiveOutput,
  shaped: Shaped,
  blobs: readonly Blob[],
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  yield folder("blobs/");
  yield folder("blobs/sha256/");
  for (const { digest, size, open } of blobs) {
    yield header(blobPath(digest), size);
    yield* counted(await open(), count);
    yield contentEnd(size);
  }
  yield* file("index.json", layoutIndex(output, shaped));
  if (output.variant === "docker") yield* file("manifest.json", dockerManifest(output, shaped));
  yield* file("oci-layout", { imageLayoutVersion: "1.0.0" });
  yield tarEnd;
}

async function* counted(bytes: Bytes, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    count(chunk.length);
    yield chunk;
  }
}

const folder = (name: string): Buffer => fileHeader({ ...BLANK, name, type: "5", mode: 0o755 });
const header = (name: string, size: number): Buffer => fileHeader({ ...BLANK, name, size });
const blobPath = (digest: string): string => `blobs/sha256/${hexOf(digest)}`;

function* file(name: string, value: object): Generator<Uint8Array> {
  const raw = Buffer.from(JSON.stringify(value));
  yield header(name, raw.length);
  yield raw;
  yield contentEnd(raw.length);
}

function layoutIndex({ names, form }: ArchiveOutput, { top }: Shaped): object {
  const { platform: _, annotations, ...descriptor } = top!;
  const created = { "org.opencontainers.image.created": creationTime(form.epochSeconds) };
  const entry = (own: Record<string, string>) => ({
    ...{ ...descriptor, annotations: { ...annotations, ...own, ...created } },
  });
  const manifests = names.map((reference) =>
    entry({
      "io.containerd.image.name": formatReference(reference),
      "org.opencontainers.image.ref.name": reference.tag ?? "latest",
    }),
  );
  return {
    ...{ schemaVersion: 2, mediaType: OCI_INDEX },
    manifests: manifests.length > 0 ? manifests : [entry({})],
  };
}

function dockerManifest({ names }: ArchiveOutput, { images }: Shaped): object {
  return images.map(({ id, layers }) => ({
    Config: blobPath(id),
    RepoTags: names.length === 0 ? null : names.map(familiarReference),
    Layers: layers.map(({ digest }) => blobPath(digest)),
  }));
}
