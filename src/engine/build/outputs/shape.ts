// From what was built to what leaves: configs, layers as blobs, manifests, attestations and the
// index over them, in the form that one output asks for. Outputs of the same form share the work.

import { GantryError } from "../../../base/index.ts";
import { digestOf, familiarName, parseReference, writePlatform } from "../../../spec/index.ts";
import type { Descriptor, Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import { wantsInlineCache, withInlineCache } from "../cache/index.ts";
import type { BuildJob, BuiltImage, VertexReport } from "../job.ts";
import { annotationsFor } from "./annotations.ts";
import { type Attestation, type Attestations, statementsAbout } from "./attestations.ts";
import type { ImageForm } from "./attributes.ts";
import type { LayerForms } from "./layer-forms.ts";
import {
  type AttestationManifest,
  attestationEntry,
  attestationManifest,
  changedConfig,
  type Document,
  type IndexEntry,
  imageIndex,
  imageManifest,
} from "./manifests.ts";
import { packageUrl } from "./packages.ts";
import { part } from "./progress.ts";
import { clampLayer } from "./rewrite-times.ts";

export interface ShapePlace {
  engine: EngineContext;
  job: BuildJob;
  images: readonly BuiltImage[];
  attestations: Attestations;
  forms: LayerForms;
  lease: Lease;
  signal: AbortSignal;
}
/** What an exporter needs of it. */
export interface Wanted {
  /** Manifests, also where no attribute asks for one. */
  manifests: boolean;
  /** Every layer's bytes, here. */
  hasBytes: boolean;
  /** With attestations that only go along where they fit. */
  inlineAttestations: boolean;
  /** One image, never an index. */
  single?: boolean;
  names: readonly string[];
}
export interface ShapedImage {
  built: BuiltImage;
  config: Uint8Array;
  id: string;
  diffIds: readonly string[];
  /** Those that the build made. */
  own: ReadonlySet<string>;
  /** Undefined: nobody asked for one. */
  manifest?: Document;
  layers: readonly Descriptor[];
  attestation?: AttestationManifest;
}
export interface Shaped {
  images: readonly ShapedImage[];
  /** Over several platforms, or over an image and its attestations. */
  index?: Document;
  /** Of the index or of the one manifest, with its annotations. */
  top?: IndexEntry;
}

/** The results in the form of one output. */
export async function shapeImages(
  place: ShapePlace,
  form: ImageForm,
  wanted: Wanted,
  vertex: VertexReport,
): Promise<Shaped> {
  const { images } = place;
  if (form.rewriteTimestamp && form.epochSeconds === undefined) {
    throw new GantryError("invalid", "rewrite-timestamp needs SOURCE_DATE_EPOCH");
  }
  const found = wanted.single ? images.map(() => []) : await attestationsOf(place, wanted);
  const isAttested = found.some((list) => list.length > 0);
  const isIndex = images.length > 1 || isAttested;
  const needsManifests = wanted.manifests || isIndex || form.isShaped;
  const shaped = await part(vertex, "exporting layers", async () => {
    const plain: ShapedImage[] = [];
    for (const built of images) plain.push(await rebased(place, built, form));
    if (!needsManifests) return plain;
    return await Promise.all(plain.map((image) => withLayers(place, image, form, wanted)));
  });
  if (!needsManifests) return { images: shaped };
  checkIndexAnnotations(form, isIndex);
  const isZstd = shaped.some(({ layers }) =>
    layers.some(({ mediaType }) => /zstd$/.test(mediaType)),
  );
  // What docker's own types cannot say.
  const isOci = form.ociTypes || isZstd || isAttested || form.annotations.length > 0;
  const whole = shaped.map((image, at) =>
    withManifest({ image, form, isOci, vertex }, found[at]!, wanted.names),
  );
  return topOf({ whole, form, isOci, isIndex, vertex });
}

async function attestationsOf(place: ShapePlace, wanted: Wanted): Promise<Attestation[][]> {
  const found: Attestation[][] = [];
  for (const built of place.images) {
    const all = await place.attestations.of(built);
    const needed = all.filter(({ inlineOnly }) => !inlineOnly || wanted.inlineAttestations);
    found.push(needed);
  }
  return found;
}

/** With its times and its cache, and the layers that come of that. */
async function rebased(
  place: ShapePlace,
  built: BuiltImage,
  form: ImageForm,
): Promise<ShapedImage> {
  const { epochSeconds, rewriteTimestamp } = form;
  const renamed = new Map<string, string>();
  const made = new Set(built.steps.flatMap(({ layer }) => layer ?? []));
  if (rewriteTimestamp && epochSeconds !== undefined) {
    for (const layer of built.layers) {
      if (made.has(layer)) renamed.set(layer, await clampLayer(place, layer, epochSeconds));
    }
  }
  const diffIds = built.layers.map((layer) => renamed.get(layer) ?? layer);
  let config = changedConfig(built.config, {
    ...(renamed.size > 0 && { diffIds }),
    ...(epochSeconds !== undefined && { epochSeconds }),
  });
  if (renamed.size > 0 && wantsInlineCache(place.job)) {
    // It names the layers as they were.
    const steps = built.steps.map((step) => ({
      ...{ ...step, layer: step.layer && (renamed.get(step.layer) ?? step.layer) },
    }));
    config = withInlineCache(config, steps, diffIds);
  }
  const own = new Set([...made].map((layer) => renamed.get(layer) ?? layer));
  return { built, config, id: digestOf(config), diffIds, own, layers: [] };
}

async function withLayers(
  { forms }: ShapePlace,
  image: ShapedImage,
  form: ImageForm,
  { hasBytes }: Wanted,
): Promise<ShapedImage> {
  const shapes = image.diffIds.map((diffId) =>
    forms.shape(diffId, form.layers, { hasBytes, isOwn: image.own.has(diffId) }),
  );
  const results = await Promise.allSettled(shapes);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  const layers = results.map((result) => (result as PromiseFulfilledResult<Descriptor>).value);
  return { ...image, layers };
}

interface ManifestOptions {
  image: ShapedImage;
  form: ImageForm;
  isOci: boolean;
  vertex: VertexReport;
}

function withManifest(
  { image, form, isOci, vertex }: ManifestOptions,
  attestations: readonly Attestation[],
  names: readonly string[],
): ShapedImage {
  const { platform } = image.built;
  const annotations = annotationsFor(form.annotations, "manifest", platform);
  const manifest = imageManifest(image.config, image.layers, { isOci, annotations });
  vertex.status(`exporting manifest ${manifest.descriptor.digest}`, done);
  vertex.status(`exporting config ${image.id}`, done);
  if (attestations.length === 0) return { ...image, manifest };
  const { digest } = manifest.descriptor;
  const subjects = subjectsOf(names, writePlatform(platform), digest);
  const attestation = attestationManifest(statementsAbout(subjects, attestations));
  vertex.status(`exporting attestation manifest ${attestation.manifest.descriptor.digest}`, done);
  return { ...image, manifest, attestation };
}

/** What a statement is about: the image by every name, as a package URL. */
function subjectsOf(names: readonly string[], platform: string, digest: string): object[] {
  const sha256 = digest.slice("sha256:".length);
  const urls = names.map((name) => {
    const reference = parseReference(name);
    return packageUrl("docker", familiarName(reference).split("/"), reference.tag ?? "", {
      ...{ platform },
    });
  });
  return (urls.length > 0 ? urls : ["_"]).map((name) => ({ name, digest: { sha256 } }));
}

const done = { current: 0, total: 0, done: true };

function topOf({
  whole,
  form,
  isOci,
  isIndex,
  vertex,
}: {
  whole: ShapedImage[];
  form: ImageForm;
  isOci: boolean;
  isIndex: boolean;
  vertex: VertexReport;
}): Shaped {
  const entries = whole.map(({ manifest, built }): IndexEntry => {
    const annotations = annotationsFor(form.annotations, "manifest-descriptor", built.platform);
    const { platform } = built;
    return { ...manifest!.descriptor, ...(annotations && { annotations }), platform };
  });
  if (!isIndex) return { images: whole, top: entries[0]! };
  const attested = whole.flatMap(({ manifest, attestation }) =>
    attestation ? attestationEntry(attestation.manifest, manifest!.descriptor.digest) : [],
  );
  const annotations = annotationsFor(form.annotations, "index");
  const index = imageIndex([...entries, ...attested], { isOci, annotations });
  vertex.status(`exporting manifest list ${index.descriptor.digest}`, done);
  const own = annotationsFor(form.annotations, "index-descriptor");
  return { images: whole, index, top: { ...index.descriptor, ...(own && { annotations: own }) } };
}

function checkIndexAnnotations({ annotations }: ImageForm, isIndex: boolean): void {
  if (isIndex || !annotations.some(({ place }) => place.startsWith("index"))) return;
  const message = "index annotations not supported for single platform export";
  throw new GantryError("invalid", message);
}
