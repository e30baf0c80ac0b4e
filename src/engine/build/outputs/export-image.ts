// The exporters `image`, `moby` and `registry`: into the image store under their names, and to
// registries. Commit point: the image is stored; names and pushes follow. An image of one platform
// that only goes into the store needs no manifest, and nothing is compressed for it.

import { GantryError, kindOf, messageOf } from "../../../base/index.ts";
import {
  type Message,
  type PushedArtifact,
  type PushImage,
  pushImage,
  pushIndex,
} from "../../../distribution/index.ts";
import { familiarReference, formatReference, type Reference } from "../../../spec/index.ts";
import type { EngineContext } from "../../context.ts";
import { hostPlatform } from "../../images/find.ts";
import { forgetIndex } from "../../images/forget-index.ts";
import { pushedLayers, pushStore } from "../../images/push.ts";
import { announceImage } from "../../images/tag.ts";
import type { VertexReport } from "../job.ts";
import type { ImageOutput } from "./attributes.ts";
import type { Document } from "./manifests.ts";
import { meter, part } from "./progress.ts";
import { describe, type Response } from "./response.ts";
import { type Shaped, type ShapedImage, type ShapePlace, shapeImages } from "./shape.ts";

export async function exportImage(
  place: ShapePlace,
  output: ImageOutput,
  vertex: VertexReport,
): Promise<{ response: Response; needed: readonly string[] }> {
  const names = output.names.map(formatReference);
  const wanted = {
    manifests: output.push || output.nameCanonical || output.danglingPrefix !== undefined,
    hasBytes: false,
    inlineAttestations: output.push,
    names,
  };
  let shaped = await shapeImages(place, output.form, wanted, vertex);
  if (output.store) await storeImages(place, output, shaped, vertex);
  if (output.push) {
    try {
      await pushAll(place, output, shaped, vertex);
    } catch (error) {
      if (kindOf(error) !== "conflict") throw error;
      // A blob was to be had elsewhere and is no more: all are made here.
      shaped = await shapeImages(place, output.form, { ...wanted, hasBytes: true }, vertex);
      if (output.store) await storeImages(place, output, shaped, vertex);
      await pushAll(place, output, shaped, vertex);
    }
  }
  const needed = output.store ? shaped.images.flatMap(({ layers }) => layers) : [];
  return {
    response: describe(shaped, names, output.form.epochSeconds),
    needed: needed.map(({ digest }) => digest),
  };
}

/** The image that runs here; else the first. */
function mainImage({ images }: Shaped): ShapedImage {
  const host = hostPlatform();
  const fits = ({ built: { platform } }: ShapedImage): boolean =>
    platform.os === host.os && platform.architecture === host.architecture;
  return images.find(fits) ?? images[0]!;
}

async function storeImages(
  { engine, lease }: ShapePlace,
  output: ImageOutput,
  shaped: Shaped,
  vertex: VertexReport,
): Promise<void> {
  const { images } = engine.storage;
  const stored = ({ raw, descriptor: { mediaType } }: Document) => ({ raw, mediaType });
  const attested = shaped.images.flatMap(({ attestation }) =>
    attestation ? [attestation.manifest, ...attestation.blobs].map(stored) : [],
  );
  for (const { config, id, manifest } of shaped.images) {
    lease.add(id);
    await part(vertex, `writing image ${id}`, async () => {
      const own = manifest && {
        manifest: manifest.raw,
        manifestType: manifest.descriptor.mediaType,
        indexes: [...(shaped.index ? [stored(shaped.index)] : []), ...attested],
      };
      await images.put(config, own);
    });
  }
  const { id } = mainImage(shaped);
  const index = shaped.index && { index: shaped.index.descriptor.digest };
  const left = new Set<string>();
  for (const reference of output.names) {
    await part(vertex, `naming to ${formatReference(reference)}`, async () => {
      const name = formatReference(reference);
      const before = images.resolve(name)?.indexes.get(name);
      if (before !== undefined && before !== index?.index) left.add(before);
      await images.tag(id, formatReference(reference), index);
      announceImage(engine, "tag", id, familiarReference(reference));
    });
  }
  for (const one of left) await forgetIndex(engine, one);
  const digest = shaped.top?.digest;
  if (digest === undefined) return;
  const canonical = output.nameCanonical ? output.names.map(repositoryOf) : [];
  const dangling = output.names.length === 0 && output.danglingPrefix;
  for (const name of [...canonical, ...(dangling ? [dangling] : [])]) {
    await part(vertex, `naming to ${name}@${digest}`, () =>
      images.tag(id, `${name}@${digest}`, index),
    );
  }
}

const repositoryOf = ({ registry, repository }: Reference): string => `${registry}/${repository}`;

async function pushAll(
  place: ShapePlace,
  output: ImageOutput,
  shaped: Shaped,
  vertex: VertexReport,
): Promise<void> {
  for (const reference of output.names) {
    const name = `${formatReference(reference)}@${shaped.top!.digest}`;
    const layers = meter(vertex, "pushing layers", bytesOf(shaped));
    try {
      await pushOne(place, output, shaped, { reference, tell: bytesTold(layers.add) });
    } catch (error) {
      throw pushFailure(error, reference);
    }
    layers.end();
    vertex.status(`pushing manifest for ${name}`, { current: 0, total: 0, done: true });
    if (!output.store) continue;
    const { images } = place.engine.storage;
    const digest = shaped.top!.digest;
    const index = shaped.index && { index: digest };
    await images.tag(mainImage(shaped).id, `${repositoryOf(reference)}@${digest}`, index);
  }
}

/** BuildKit's words in front, the kind as it was. */
function pushFailure(cause: unknown, reference: Reference): unknown {
  const kind = kindOf(cause);
  if (kind === "cancelled") return cause;
  const message = `failed to push ${formatReference(reference)}: ${messageOf(cause)}`;
  const { detail = {} } = cause as { detail?: Record<string, unknown> };
  return new GantryError(kind, message, { cause, detail });
}

function bytesOf({ images }: Shaped): number {
  const sizes = new Map(images.flatMap(({ layers }) => layers.map((l) => [l.digest, l.size])));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** Docker's progress of single layers, as what has gone since. */
function bytesTold(add: (bytes: number) => void): (message: Message) => void {
  const seen = new Map<unknown, number>();
  return ({ id, progressDetail }) => {
    const current = (progressDetail as { current?: number } | undefined)?.current;
    if (current === undefined) return;
    add(Math.max(0, current - (seen.get(id) ?? 0)));
    seen.set(id, current);
  };
}

async function pushOne(
  { engine, job, signal }: ShapePlace,
  output: ImageOutput,
  shaped: Shaped,
  { reference, tell }: { reference: Reference; tell: (message: Message) => void },
): Promise<void> {
  const { registry } = reference;
  const credentials = (await job.credentials(registry, { signal })) ?? {};
  const request = {
    ...{ reference, credentials, tell, signal, exact: true },
    ...{ insecure: output.insecure, byDigest: output.byDigest },
  };
  const store = pushStore(engine);
  const images = shaped.images.map((image) => toPush(engine, image, registry));
  if (shaped.index === undefined) {
    await pushImage(engine.registries, store, { ...request, image: images[0]! });
    return;
  }
  const { raw, descriptor } = shaped.index;
  const artifacts = shaped.images.flatMap(({ attestation }): PushedArtifact[] => {
    if (attestation === undefined) return [];
    const { manifest, blobs } = attestation;
    const { mediaType } = manifest.descriptor;
    return [{ raw: manifest.raw, mediaType, blobs: blobs.map((blob) => blob.raw) }];
  });
  const index = { raw, mediaType: descriptor.mediaType, images, artifacts };
  await pushIndex(engine.registries, store, { ...request, index });
}

function toPush({ storage }: EngineContext, image: ShapedImage, registry: string): PushImage {
  const layers = image.diffIds.map((diffId) => {
    const layer = storage.layers.get(diffId);
    if (layer) return layer;
    throw new GantryError("corrupt", `Layer ${diffId} is missing`);
  });
  const { raw, descriptor } = image.manifest!;
  return {
    rawConfig: image.config,
    layers: pushedLayers(storage, layers, registry),
    manifest: { raw, mediaType: descriptor.mediaType },
  };
}
