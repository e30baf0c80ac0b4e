// The manifest of an image whose layers were compressed here.

import { digestOf } from "../spec/index.ts";
import type { Descriptor } from "./contract.ts";
import {
  DOCKER_CONFIG,
  DOCKER_LAYER,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  isForeign,
  OCI_CONFIG,
  OCI_MANIFEST,
} from "./media-types.ts";

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";

/** As docker makes them: schema 2, its order of fields, three spaces. zstd needs an OCI one. */
export function newManifest(
  rawConfig: Uint8Array,
  blobs: readonly Descriptor[],
): { raw: Uint8Array; mediaType: string } {
  const isOci = blobs.some(({ mediaType }) => mediaType.endsWith("zstd"));
  const mediaType = isOci ? OCI_MANIFEST : DOCKER_MANIFEST;
  const configType = isOci ? OCI_CONFIG : DOCKER_CONFIG;
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: configType, size: rawConfig.length, digest: digestOf(rawConfig) },
    layers: blobs.map(({ mediaType: type, size, digest, urls }) => ({
      mediaType: isOci ? ociLayerType(type) : dockerLayerType(type),
      size,
      digest,
      ...(urls ? { urls } : {}),
    })),
  };
  return { raw: Buffer.from(JSON.stringify(document, undefined, 3)), mediaType };
}

function dockerLayerType(mediaType: string): string {
  if (isForeign(mediaType)) return mediaType;
  return /[.+]gzip$/.test(mediaType) ? DOCKER_LAYER_GZIP : DOCKER_LAYER;
}

function ociLayerType(mediaType: string): string {
  if (isForeign(mediaType)) return mediaType;
  const compression = /[.+](gzip|zstd)$/.exec(mediaType)?.[1];
  return compression ? `${OCI_LAYER}+${compression}` : OCI_LAYER;
}
