// `docker import`: a root file system archive becomes an image of one layer.

import type { Readable } from "node:stream";
import type { ContainerConfig } from "../spec/index.ts";
import { decompress } from "./compression.ts";
import type { Storage } from "./contract.ts";
import { encodeImageConfig } from "./new-image.ts";

export interface ImportOptions {
  /** What the image runs and how; default: nothing is set. */
  config?: ContainerConfig;
  message?: string;
  /** OCI names: architecture "amd64", "arm64" … */
  platform: { os: string; architecture: string; variant?: string };
  /** Written as docker_version. */
  producer?: string;
  signal?: AbortSignal;
}

/** Stores the image and returns its id. Commit point: the image record is written. */
export async function importRootfs(
  storage: Pick<Storage, "layers" | "images" | "lease">,
  from: Readable,
  options: ImportOptions,
): Promise<string> {
  const { stream } = await decompress(from);
  const { signal } = options;
  const lease = storage.lease();
  try {
    const layer = await storage.layers.apply(stream, { lease, ...(signal ? { signal } : {}) });
    const created = new Date();
    const comment = options.message || "Imported from -";
    const raw = encodeImageConfig({
      ...options.platform,
      created,
      comment,
      config: options.config ?? {},
      diffIds: [layer.diffId],
      history: [{ created: created.toISOString(), comment }],
      ...(options.producer ? { dockerVersion: options.producer } : {}),
    });
    return await storage.images.put(raw);
  } finally {
    lease.release();
  }
}
