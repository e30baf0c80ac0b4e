// Images for tests of the registry, made of random bytes, and a small client of its content.

import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { RegistryContent } from "../../src/registry/index.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

export interface Bytes {
  digest: string;
  data: Buffer;
}

export function bytesOf(data: Buffer | string, algorithm = "sha256"): Bytes {
  const content = Buffer.from(data);
  const hex = createHash(algorithm).update(content).digest("hex");
  return { digest: `${algorithm}:${hex}`, data: content };
}

export function randomLayer(size = 2_000): Bytes {
  return bytesOf(randomBytes(size));
}

export function descriptor({ digest, data }: Bytes, mediaType: string): object {
  return { mediaType, digest, size: data.length };
}

export function imageOf(layers: Bytes[], extra: object = {}): { config: Bytes; manifest: Bytes } {
  const config = bytesOf(JSON.stringify({ architecture: "amd64", os: "linux" }));
  const manifest = bytesOf(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: descriptor(config, CONFIG),
      layers: layers.map((layer) => descriptor(layer, LAYER)),
      ...extra,
    }),
  );
  return { config, manifest };
}

export async function upload(content: RegistryContent, name: string, blob: Bytes): Promise<void> {
  const id = await content.startUpload(name);
  await content.append(name, id, 0, Readable.from([blob.data]));
  await content.finishUpload(name, id, blob.digest);
}

/** Reads an image as a client does and checks every byte of it. */
export async function pullWhole(
  content: RegistryContent,
  name: string,
  reference: string,
): Promise<string> {
  const { digest, raw } = await content.manifest(name, reference);
  if (bytesOf(raw).digest !== digest) throw new Error(`manifest ${digest} has other bytes`);
  const { config, layers } = JSON.parse(raw.toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  for (const part of [config, ...layers]) {
    const data = await buffer(await content.openBlob(name, part.digest));
    if (bytesOf(data).digest !== part.digest) throw new Error(`blob ${part.digest} differs`);
  }
  return digest;
}
