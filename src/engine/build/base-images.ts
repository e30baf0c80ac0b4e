// Finds the images that a Dockerfile names: those that are here, unless the build asks for a fresh
// look (--pull), and from their registries otherwise. Layers stay until the build ends.

import { GantryError, kindOf } from "../../base/index.ts";
import type { ImageResolver, ResolvedImage } from "../../build/index.ts";
import type { Credentials } from "../../distribution/index.ts";
import {
  familiarReference,
  type Platform,
  parseReference,
  writePlatform,
} from "../../spec/index.ts";
import type { Lease, StoredImage } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import type { Progress } from "../contract.ts";
import { ensureHelloWorld } from "../images/hello-world.ts";
import { pullImage } from "../images/pull.ts";

export interface BaseImageOptions {
  engine: EngineContext;
  lease: Lease;
  pull: boolean;
  /** By registry host, as docker's X-Registry-Config names them. */
  credentials: Readonly<Record<string, Credentials>>;
  /** Docker's progress messages of a pull. */
  tell: (message: Progress) => void;
}

const HUB_NAMES = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

export function baseImages(o: BaseImageOptions): ImageResolver {
  return {
    image: async (reference, { platform, signal }) => {
      await ensureHelloWorld(o.engine.storage, reference);
      const here = findHere(o.engine, reference, platform);
      if (here && !o.pull) return resolved(o, here);
      await pull(o, reference, { platform, signal });
      const found = findHere(o.engine, reference, platform);
      if (found) return resolved(o, found);
      const wanted = writePlatform(platform);
      const name = familiarReference(parseReference(reference));
      throw new GantryError("not-found", `no image for ${wanted} at ${name}`);
    },
  };
}

function findHere(
  engine: EngineContext,
  reference: string,
  wanted: Platform,
): StoredImage | undefined {
  const { images } = engine.storage;
  const found =
    images.resolve(reference) ?? images.resolve(familiarReference(parseReference(reference)));
  if (!found) return undefined;
  const { os, architecture, variant } = found.config;
  const fits =
    (os || "linux") === wanted.os &&
    (!architecture || architecture === wanted.architecture) &&
    (!wanted.variant || !variant || variant === wanted.variant);
  return fits ? found : undefined;
}

async function pull(
  { engine, credentials, tell }: BaseImageOptions,
  reference: string,
  { platform, signal }: { platform: Platform; signal: AbortSignal },
): Promise<void> {
  const { registry } = parseReference(reference);
  const hosts = registry === "docker.io" ? HUB_NAMES : [registry, `https://${registry}`];
  const key = hosts.find((host) => Object.hasOwn(credentials, host));
  const messages = pullImage(engine, familiarReference(parseReference(reference)), {
    platform: writePlatform(platform),
    ...(key !== undefined && { credentials: credentials[key]! }),
    signal,
  });
  try {
    for await (const message of messages) tell(message);
  } catch (error) {
    if (signal.aborted || kindOf(error) === "cancelled") throw signal.reason ?? error;
    throw error;
  }
}

function resolved({ lease }: BaseImageOptions, image: StoredImage): ResolvedImage {
  const layers = image.layers.map(({ diffId }) => diffId);
  for (const layer of layers) lease.add(layer);
  // An image without a history gets one, so that layers and history agree in what is built on it.
  const history = image.config.history ?? layers.map(() => ({ created_by: "" }));
  return { id: image.id, document: { ...image.config, history }, root: { layers } };
}
