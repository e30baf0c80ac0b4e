// The documents of an image: configs with what the exporter adds, manifests, indexes. Pure.

import {
  digestOf,
  type ImageConfigDocument,
  type Platform,
  writePlatform,
} from "../../../spec/index.ts";
import type { Descriptor } from "../../../storage/index.ts";

const OCI = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  separator: "+",
};
const DOCKER: typeof OCI = {
  manifest: "application/vnd.docker.distribution.manifest.v2+json",
  index: "application/vnd.docker.distribution.manifest.list.v2+json",
  config: "application/vnd.docker.container.image.v1+json",
  layer: "application/vnd.docker.image.rootfs.diff.tar",
  separator: ".",
};
const IN_TOTO = "application/vnd.in-toto+json";

export interface Annotations {
  annotations?: Record<string, string> | undefined;
}
export interface IndexEntry extends Descriptor, Annotations {
  platform?: Platform | undefined;
}
/** Bytes that something refers to. */
export interface Document {
  raw: Uint8Array;
  descriptor: Descriptor;
}

function document(value: object, mediaType: string): Document {
  const raw = Buffer.from(JSON.stringify(value, undefined, 2));
  return { raw, descriptor: { mediaType, digest: digestOf(raw), size: raw.length } };
}

/** "…tar+gzip" or "….tar.gzip", as the kind of manifest has it. */
function layerType(mediaType: string, types: typeof OCI): string {
  if (/\.(foreign|nondistributable)\./.test(mediaType)) return mediaType;
  const compression = /[.+](gzip|zstd)$/.exec(mediaType)?.[1];
  return compression === undefined ? types.layer : `${types.layer}${types.separator}${compression}`;
}

export function imageManifest(
  config: Uint8Array,
  layers: readonly Descriptor[],
  { isOci, annotations }: Annotations & { isOci: boolean },
): Document {
  const types = isOci ? OCI : DOCKER;
  return document(
    {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.length },
      layers: layers.map(({ mediaType, digest, size }) => ({
        ...{ mediaType: layerType(mediaType, types), digest, size },
      })),
      ...(annotations && { annotations }),
    },
    types.manifest,
  );
}

export function imageIndex(
  manifests: readonly IndexEntry[],
  { isOci, annotations }: Annotations & { isOci: boolean },
): Document {
  const { index: mediaType } = isOci ? OCI : DOCKER;
  const entries = manifests.map(({ platform, annotations: own, ...descriptor }) => ({
    ...descriptor,
    ...(own && { annotations: own }),
    ...(platform && { platform: platformOf(platform) }),
  }));
  return document(
    { schemaVersion: 2, mediaType, manifests: entries, ...(annotations && { annotations }) },
    mediaType,
  );
}

const platformOf = ({ architecture, os, variant }: Platform) => ({
  ...{ architecture, os, ...(variant && { variant }) },
});

/** A statement with what it is about. */
export interface Statement {
  predicateType: string;
  raw: Uint8Array;
}
export interface AttestationManifest {
  manifest: Document;
  /** Config first. */
  blobs: readonly Document[];
}

/** BuildKit's attestation storage (docs/attestations/attestation-storage.md): a manifest of
 * in-toto layers that the index names beside the image that it is about. */
export function attestationManifest(statements: readonly Statement[]): AttestationManifest {
  const layers = statements.map(({ raw, predicateType }) => ({
    predicateType,
    blob: { raw, descriptor: { mediaType: IN_TOTO, digest: digestOf(raw), size: raw.length } },
  }));
  const config = document(
    {
      architecture: "unknown",
      os: "unknown",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map(({ blob }) => blob.descriptor.digest) },
    },
    OCI.config,
  );
  const manifest = document(
    {
      schemaVersion: 2,
      mediaType: OCI.manifest,
      config: config.descriptor,
      layers: layers.map(({ blob, predicateType }) => ({
        ...blob.descriptor,
        annotations: { "in-toto.io/predicate-type": predicateType },
      })),
    },
    OCI.manifest,
  );
  return { manifest, blobs: [config, ...layers.map(({ blob }) => blob)] };
}

/** How an index names it. */
export function attestationEntry({ descriptor }: Document, image: string): IndexEntry {
  return {
    ...descriptor,
    annotations: {
      "vnd.docker.reference.digest": image,
      "vnd.docker.reference.type": "attestation-manifest",
    },
    platform: { architecture: "unknown", os: "unknown" },
  };
}

export interface ConfigChanges {
  /** Other layers than the config has. */
  diffIds?: readonly string[] | undefined;
  /** Nothing in it is younger. */
  epochSeconds?: number | undefined;
}

/** The config with what the exporter changes; the very bytes where it changes nothing. */
export function changedConfig(raw: Uint8Array, changes: ConfigChanges): Uint8Array {
  const { diffIds, epochSeconds } = changes;
  const before = JSON.parse(Buffer.from(raw).toString("utf8")) as ImageConfigDocument;
  let after: Record<string, unknown> = { ...before };
  if (diffIds) after["rootfs"] = { type: "layers", diff_ids: diffIds };
  if (epochSeconds !== undefined) {
    const epoch = new Date(epochSeconds * 1000).toISOString();
    const isLater = (created: string | undefined): boolean =>
      created === undefined || !(Date.parse(created) <= epochSeconds * 1000);
    const history = before.history?.map((entry) => ({
      ...(isLater(entry.created) ? { ...entry, created: epoch } : entry),
    }));
    const isSet = Date.parse(before.created ?? "") === epochSeconds * 1000;
    after = { ...after, ...(!isSet && { created: epoch }), ...(history && { history }) };
  }
  const encoded = escapeHtml(JSON.stringify(after));
  return encoded === escapeHtml(JSON.stringify(before)) ? raw : Buffer.from(encoded);
}

/** As Go's encoder writes it. */
const escapeHtml = (json: string): string =>
  json.replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** "linux_amd64": a folder of its own. */
export const platformFolder = (platform: Platform): string =>
  writePlatform(platform).replaceAll("/", "_");
