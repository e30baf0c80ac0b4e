// Finds the images that a Dockerfile names: those that are here, unless the build asks for a fresh
// look (--pull), and from their registries otherwise. Layers stay until the build ends. An image of
// another platform is fetched without taking the name from the one that is here.

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
import { siblingsOf } from "../images/companions.ts";
import { hostPlatform } from "../images/find.ts";
import { ensureHelloWorld } from "../images/hello-world.ts";
import { pullImage } from "../images/pull.ts";

export interface BaseImageOptions {
  engine: EngineContext;
  lease: Lease;
  pull: boolean;
  /** By the registry's host as references have it: "docker.io". */
  credentials(host: string, o: { signal: AbortSignal }): Promise<Credentials | undefined>;
  /** Docker's progress messages of a pull. */
  tell: (message: Progress) => void;
}
type Wanted = { platform: Platform; signal: AbortSignal };

const HUB_NAMES = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];
/** Images that were fetched for another platform, by reference and platform. */
const UNNAMED = "build-bases";

export function baseImages(o: BaseImageOptions): ImageResolver {
  return {
    image: async (reference, wanted) => resolved(o, await findImage(o, reference, wanted)),
  };
}

/** The credentials of a request by docker's names of registries (X-Registry-Config). */
export function credentialsFrom(
  known: Readonly<Record<string, Credentials>>,
): BaseImageOptions["credentials"] {
  return async (host) => {
    const names = host === "docker.io" ? HUB_NAMES : [host, `https://${host}`];
    const key = names.find((name) => Object.hasOwn(known, name));
    return key === undefined ? undefined : known[key];
  };
}

/** The stored image, fetched where it is not here. */
export async function findImage(
  o: BaseImageOptions,
  reference: string,
  { platform, signal }: Wanted,
): Promise<StoredImage> {
  await ensureHelloWorld(o.engine.storage, reference);
  const here = findHere(o.engine, reference, platform);
  if (here && !o.pull) return here;
  await pull(o, reference, { platform, signal });
  const found = findHere(o.engine, reference, platform);
  if (found) return found;
  const name = familiarReference(parseReference(reference));
  throw new GantryError("not-found", `no image for ${writePlatform(platform)} at ${name}`);
}

function findHere(
  { storage }: EngineContext,
  reference: string,
  wanted: Platform,
): StoredImage | undefined {
  const { images, records } = storage;
  const named =
    images.resolve(reference) ?? images.resolve(familiarReference(parseReference(reference)));
  if (named && fits(named, wanted)) return named;
  const others = named ? siblingsOf(images.list(), named, reference) : [];
  const other = others.find((image) => fits(image, wanted));
  if (other) return other;
  const id = records.collection<{ id: string }>(UNNAMED).get(unnamedKey(reference, wanted))?.id;
  const found = id === undefined ? undefined : images.get(id);
  return found && fits(found, wanted) ? found : undefined;
}

function fits({ config }: StoredImage, wanted: Platform): boolean {
  const { os, architecture, variant } = config;
  return (
    (os || "linux") === wanted.os &&
    (!architecture || architecture === wanted.architecture) &&
    (!wanted.variant || !variant || variant === wanted.variant)
  );
}

const unnamedKey = (reference: string, platform: Platform): string =>
  `${reference} ${writePlatform(platform)}`;

async function pull(
  { engine, credentials, tell }: BaseImageOptions,
  reference: string,
  { platform, signal }: Wanted,
): Promise<void> {
  const { registry } = parseReference(reference);
  const known = await credentials(registry, { signal });
  const isForeign = platform.architecture !== hostPlatform().architecture;
  const messages = pullImage(engine, familiarReference(parseReference(reference)), {
    platform: writePlatform(platform),
    ...(known !== undefined && { credentials: known }),
    ...(isForeign && { stored: (id: string) => remember(engine, reference, platform, id) }),
    signal,
  });
  try {
    for await (const message of messages) tell(message);
  } catch (error) {
    if (signal.aborted || kindOf(error) === "cancelled") throw signal.reason ?? error;
    throw error;
  }
}

function remember(engine: EngineContext, reference: string, platform: Platform, id: string): void {
  const unnamed = engine.storage.records.collection<{ id: string }>(UNNAMED);
  for (const [key, known] of unnamed.all()) {
    if (engine.storage.images.get(known.id) === undefined) unnamed.delete(key);
  }
  unnamed.put(unnamedKey(reference, platform), { id });
}

export function resolved(
  { lease }: Pick<BaseImageOptions, "lease">,
  image: StoredImage,
): ResolvedImage {
  const layers = image.layers.map(({ diffId }) => diffId);
  for (const layer of layers) lease.add(layer);
  // An image without a history gets one, so that layers and history agree in what is built on it.
  const history = image.config.history ?? layers.map(() => ({ created_by: "" }));
  return { id: image.id, document: { ...image.config, history }, root: { layers } };
}
