// Images for tests of registries: layers of random content, put into a registry in memory together
// with their config and manifest.

import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { OpenOptions } from "../../src/index.ts";
import { digest, type FakeRegistry } from "../fakes/registry.ts";
import { rawTar } from "./raw-tar.ts";

export const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
export const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";

export type TestLayer = { tar: Buffer; blob: Buffer; type: string; name?: string; urls?: string[] };

export function testLayer(
  compress: (tar: Buffer) => Buffer = gzipSync,
  { type = LAYER, bytes = 300_000 }: { type?: string; bytes?: number } = {},
): TestLayer {
  const name = `file-${randomBytes(6).toString("hex")}`;
  const tar = rawTar({ name, content: randomBytes(bytes) });
  return { tar, blob: compress(tar), type };
}

export interface Published {
  /** The manifest's digest. */
  manifest: string;
  id: string;
  layers: TestLayer[];
  /** The manifest's. */
  size: number;
}

/** Puts an image into the registry. */
export function publishImage(
  registry: FakeRegistry,
  repository: string,
  tag: string,
  o: {
    layers?: TestLayer[];
    architecture?: string;
    diffIds?: string[];
    nameOf?: (data: Buffer) => string;
  } = {},
): Published {
  const { layers = [testLayer()], architecture = "amd64", nameOf = digest } = o;
  const { diffIds = layers.map(({ tar }) => digest(tar)) } = o;
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = Buffer.from(
    JSON.stringify({ architecture, os: "linux", rootfs, made: randomBytes(4).toString("hex") }),
  );
  const mediaType = "application/vnd.docker.container.image.v1+json";
  const document = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType, ...registry.putBlob(repository, config, nameOf(config)) },
    layers: layers.map(({ blob, type, urls }) => ({
      mediaType: type,
      ...(urls
        ? { digest: nameOf(blob), size: blob.length, urls }
        : registry.putBlob(repository, blob, nameOf(blob))),
    })),
  };
  const manifest = registry.putManifest(repository, tag, document, MANIFEST);
  const size = JSON.stringify(document).length;
  return { manifest, id: digest(config), layers, size };
}

type Distribution = NonNullable<OpenOptions["distribution"]>;

/** As the daemon's, but impatient. */
export function testDistribution(o: Partial<Distribution> = {}): { distribution: Distribution } {
  const { downloads, ...rest } = o;
  return {
    distribution: {
      insecureRegistries: [],
      mirrors: [],
      maxConcurrentDownloads: 3,
      maxConcurrentUploads: 5,
      maxDownloadAttempts: 5,
      certificateFolders: [],
      retryDelaysMs: [1],
      downloads: { retryDelayMs: 1, ...downloads },
      ...rest,
    },
  };
}
